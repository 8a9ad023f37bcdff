"""Hyperparameter searches: the request, the trials and the best one."""

from typing import Any, Literal

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.dataset import DatasetSpec


class SearchSpec(FrozenModel):
    """The request of a search. It is saved, so that any process can continue the search."""

    id: str
    """Id of the search."""
    name: str
    """Name of the search."""
    dataset: str
    """Id of the dataset."""
    model: str
    """Name of the base model."""
    task: str | None = None
    """Name of the task."""
    method: str | None = None
    """Name of the method."""
    preset: str = "balanced"
    """Name of the preset."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Set by hand, the same in every trial."""
    roles: dict[str, str] | None = None
    """Column → role; None: as saved or inferred."""
    leave_out: tuple[str, ...] = ()
    """Kinds of data problems whose rows are left out."""
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
    """Seed of the proposals."""


class Trial(FrozenModel):
    """One set of settings that was tried, as a run of its own."""

    number: int
    """Number of the trial, from 0."""
    state: Literal["running", "finished", "pruned", "failed"]
    """State of the trial."""
    run: str = ""
    """Id of its run."""
    value: float | None = None
    """Its lowest validation loss."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """The values that it tries."""


class SearchView(FrozenModel):
    """The state of a search."""

    spec: SearchSpec
    """The request."""
    status: Literal["running", "finished", "stopped"]
    """State of the search."""
    trials: tuple[Trial, ...] = ()
    """All trials, in order."""
    best: int | None = None
    """Number of the trial that did best."""
    sentence: str = ""
    """The progress in a sentence."""
