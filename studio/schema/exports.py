"""Export formats of a run as they are offered: options, extra tools, and the export that exists."""

from collections.abc import Mapping

from studio.schema.base import FrozenModel
from studio.schema.report import ExportResult
from studio.schema.tools import ExtraTools


class ExportChoice(FrozenModel):
    """One value of an option of an export format."""

    value: str
    """Value in commands and in Python."""
    title: str
    """Name for people."""
    sentence: str = ""
    """What it is for."""
    bytes: int | None = None
    """Estimated size of the export with it, in bytes. None: the option does not change the size."""
    unavailable_reason: str = ""
    """Why it can't be chosen. Empty when it can."""
    tools: str = ""
    """Name of an environment that only this choice needs."""


class ExportOption(FrozenModel):
    """A choice that the user makes before an export."""

    name: str
    """Name in commands and in Python."""
    title: str
    """Label for people."""
    choices: tuple[ExportChoice, ...]
    """What can be chosen. The first available one is the default."""

    @property
    def default(self) -> str:
        """The value that is used when the user chooses none."""
        able = [choice for choice in self.choices if not choice.unavailable_reason]
        return (able or list(self.choices))[0].value


class ExportView(FrozenModel):
    """An export format of a run."""

    format: str
    """Name of the format."""
    title: str
    """Name for people."""
    sentence: str
    """What it is for."""
    bytes: int
    """Estimated size in bytes."""
    unavailable_reason: str = ""
    """Why it can't be written. Empty when it can."""
    warning: str = ""
    """Why another format is better for this run. Empty when nothing speaks against it."""
    has_rows: bool = False
    """The user's rows are in it."""
    done: ExportResult | None = None
    """The export that exists."""
    options: tuple[ExportOption, ...] = ()
    """What the user can choose."""
    tools: tuple[ExtraTools, ...] = ()
    """Packages that it needs beside the studio's own. An option's choice can need one that the others do not."""

    def chosen(self, options: Mapping[str, str]) -> dict[str, str]:
        """The value of each option: the given one if it is available, else the default."""
        return {
            option.name: next(
                (
                    choice.value
                    for choice in option.choices
                    if choice.value == options.get(option.name) and not choice.unavailable_reason
                ),
                option.default,
            )
            for option in self.options
        }

    def tools_to_install(self, options: Mapping[str, str]) -> list[ExtraTools]:
        """The packages that an export with these options needs and that are not installed."""
        values = self.chosen(options)
        choices = [(option.name, choice) for option in self.options for choice in option.choices if choice.tools]
        optional = {choice.tools for _, choice in choices}
        needed = {choice.tools for name, choice in choices if values[name] == choice.value}
        return [each for each in self.tools if not each.ready and (each.name not in optional or each.name in needed)]

    def without_installing(self) -> "ExportView":
        """The view of someone who may not install packages: what needs missing ones is unavailable."""
        missing = {
            each.name: f"The {each.title} is not installed here. Only the owner of this studio can install it."
            for each in self.tools
            if not each.ready
        }
        optional = {choice.tools for option in self.options for choice in option.choices}
        reasons = [reason for name, reason in missing.items() if name not in optional]
        options = tuple(
            option.model_copy(
                update={
                    "choices": tuple(
                        choice.model_copy(
                            update={"unavailable_reason": choice.unavailable_reason or missing.get(choice.tools, "")}
                        )
                        for choice in option.choices
                    )
                }
            )
            for option in self.options
        )
        reason = self.unavailable_reason or next(iter(reasons), "")
        return self.model_copy(update={"options": options, "unavailable_reason": reason})

    def bytes_with(self, options: Mapping[str, str]) -> int:
        """Estimated size in bytes with these options."""
        values = self.chosen(options)
        sizes = [
            choice.bytes
            for option in self.options
            for choice in option.choices
            if choice.value == values[option.name] and choice.bytes is not None
        ]
        return max(sizes, default=self.bytes)
