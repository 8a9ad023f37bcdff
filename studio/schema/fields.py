"""Descriptions of settings, used by the page, the command line, the checks and the docs."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field


@dataclass(frozen=True)
class About:
    """Facts about a setting for forms, besides its type, range and description."""

    group: str
    label: str
    library: str
    """The name of the setting in the library."""
    unit: str = ""
    level: str = "expert"
    """`basic` is shown first, `expert` below."""
    by_method: bool = False
    """Used only by methods that list it in their `settings`."""
    by_task: bool = False
    """Used only by tasks that list it in their `settings`."""
    words: tuple[str, ...] = ()
    """Labels of the values of a closed set, in their order. Empty: the values themselves."""

    @property
    def phrase(self) -> str:
        """The label inside a sentence: in lower case, but `LoRA+`, `CPU` and other abbreviations stay as they are."""
        return " ".join(word if any(map(str.isupper, word[1:])) else word.lower() for word in self.label.split())


def setting(default: Any, about: About, **limits: Any) -> Any:
    """A pydantic field with an `About`."""
    return Field(default=default, json_schema_extra={"about": about.__dict__}, **limits)


def about(model: type[BaseModel], name: str) -> About | None:
    """The `About` of a field, or None when it is not a setting."""
    extra = model.model_fields[name].json_schema_extra
    return About(**extra["about"]) if isinstance(extra, dict) and "about" in extra else None  # type: ignore[arg-type]
