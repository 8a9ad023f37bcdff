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
    """Settings that the user set, the same in all trials."""
    roles: dict[str, str] | None = None
    """Column → role; None: as saved or inferred."""
    leave_out: tuple[str, ...] = ()
    """Kinds of data problems whose rows are left out."""
    trials: int = 10
    """Maximum number of trials. 0: no limit, only that of the minutes."""
    minutes: float = 0.0
    """Limit of training time over all trials, in minutes. The running trial keeps its best checkpoint. 0: no limit."""
    first: dict[str, Any] = Field(default_factory=dict)
    """The preset's values, which the first trial uses."""
    validation: str | None = None
    """Id of a dataset to validate on, instead of a part of `dataset`."""
    runner: str = "local"
    """The runner of all trials."""
    data: DatasetSpec | None = None
    """How all trials read the rows, so that their losses can be compared."""
    dataset_version: int = 1
    """The version of the rows, used with `data`."""
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
    """Number of the best trial."""
    sentence: str = ""
    """The progress in a sentence."""
