"""A search for better settings: what was asked, its trials, and which did best."""

from typing import Any, Literal

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.dataset import DatasetSpec


class SearchSpec(FrozenModel):
    """What a search was asked; kept, so that whoever looks next goes on with it."""

    id: str
    name: str
    dataset: str
    model: str
    task: str | None = None
    method: str | None = None
    preset: str = "balanced"
    settings: dict[str, Any] = Field(default_factory=dict)
    """Set by hand, the same in every trial."""
    roles: dict[str, str] | None = None
    leave_out: tuple[str, ...] = ()
    trials: int = 10
    """0 sets no limit: the minutes do."""
    minutes: float = 0.0
    """It ends after so many minutes of training, the trial at work with its best kept; 0 sets no limit."""
    first: dict[str, Any] = Field(default_factory=dict)
    """What the preset would take: the first trial."""
    data: DatasetSpec | None = None
    """How the rows are read, in all trials: losses on other rows could not be compared."""
    dataset_version: int = 1
    """Which rows these are; counts with `data`."""
    seed: int = 42


class Trial(FrozenModel):
    """One set of settings that was tried, as a run of its own."""

    number: int
    state: Literal["running", "finished", "pruned", "failed"]
    run: str = ""
    value: float | None = None
    """Its lowest validation loss."""
    settings: dict[str, Any] = Field(default_factory=dict)


class SearchView(FrozenModel):
    """A search as it stands."""

    spec: SearchSpec
    status: Literal["running", "finished", "stopped"]
    trials: tuple[Trial, ...] = ()
    best: int | None = None
    """Number of the trial that did best."""
    sentence: str = ""
