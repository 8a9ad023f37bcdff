"""Settings files of other tools, as settings of a run: what was converted, and what was not."""

from typing import Any

from pydantic import Field

from studio.schema.base import FrozenModel


class ImportedData(FrozenModel):
    """A data set that a settings file names."""

    path: str
    """A file beside the settings file, or `hf:OWNER/NAME`."""
    roles: dict[str, str] = Field(default_factory=dict)
    """Column → role. Empty: the columns are recognized by their names."""


class NotConverted(FrozenModel):
    """An entry of a settings file that has no counterpart here."""

    name: str
    """Name of the entry."""
    value: str
    """Its value as text, shortened."""
    reason: str
    """Why it was not converted, and what to use instead."""


class ImportedConfig(FrozenModel):
    """A settings file of another tool, converted."""

    tool: str
    """Name of the tool: LLaMA-Factory or Axolotl."""
    settings: dict[str, Any]
    """Settings of a run, by field name. Also model, task and method."""
    converted: dict[str, str]
    """Name of the entry → the setting that it became."""
    data: tuple[ImportedData, ...] = ()
    """The data that it names."""
    not_converted: tuple[NotConverted, ...] = ()
    """Entries that change the result, but have no counterpart here."""
    not_needed: tuple[str, ...] = ()
    """Entries that do not change the result, such as folders and logging."""
