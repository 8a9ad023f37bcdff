"""A run: its request, its state and its result."""

from typing import Literal

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, Fold, SplitSpec

RunStatus = Literal[
    "queued", "paused", "starting", "training", "stopping", "finished", "stopped", "interrupted", "failed"
]
ACTIVE: frozenset[RunStatus] = frozenset({"queued", "starting", "training", "stopping"})
"""States in which a worker is running or queued, or should be."""
StopWish = Literal["keep", "discard", "pause"]
"""Stop after this step and keep the best checkpoint, discard everything, or pause so that other runs can start."""
GOES_ON: frozenset[str] = frozenset({"paused", "interrupted", "stopped", "failed"})
"""States from which a run can be resumed."""
PHASE_WORDS: dict[str, str] = {
    "preparing": "Preparing",
    "loading": "Loading the model",
    "reading": "Reading rows",
    "training": "Training",
    "saving": "Saving",
}
"""Phase of a run → its words, in order."""


class RunRecord(FrozenModel):
    """A saved run."""

    id: str
    name: str
    status: RunStatus
    task: str
    model: str
    method: str
    created: str
    """ISO 8601 in UTC, as all times are."""
    started: str | None = None
    ended: str | None = None
    seconds: float | None = None
    """Training time in seconds."""
    dataset: str = ""
    dataset_version: int = 1
    reason: str = ""
    """Why it ended or waits, and what to do next. Empty when there is nothing to say."""
    stop_wish: StopWish | None = None
    phase: str = ""
    step: int = 0
    steps: int = 0
    best_step: int | None = None
    has_result: bool = False
    """It has a fine-tuned model (an adapter or all weights) on disk."""
    metrics: dict[str, float] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    note: str = ""
    """A note that the user wrote."""
    archived: bool = False
    """Archived runs are listed only on request."""


class Replay(FrozenModel):
    """Rows of another dataset that are mixed into the training rows."""

    dataset: str
    version: int
    roles: dict[str, str]
    """Column → role, of this dataset."""
    left_out: tuple[str, ...] = ()


class RunSpec(FrozenModel):
    """The settings of a run, its rows and how they are read. Saved as the run's config.yaml."""

    config: TrainingConfig
    dataset: str
    """Dataset id."""
    dataset_version: int
    data: DatasetSpec
    splits: SplitSpec
    validation_dataset: str | None = None
    """A dataset that is used whole for validation, if one was chosen."""
    validation_version: int = 1
    replay: Replay | None = None
    runner: str = "local"
    """Where it trains; see services/runners."""
    fold: Fold | None = None
    """The fold of a cross-validation that it trains for. Its test split is that fold."""
    because: tuple[str, ...] = ()
    """The reasons for the settings."""
    memory_bytes: int = 0
    """Estimated peak memory; 0 when unknown."""
    disk_bytes: int = 0
    """Estimated disk space of its checkpoints and its result; 0 when unknown."""
    seconds: float = 0.0
    """Estimated duration; 0 when unknown."""
    seconds_range: tuple[float, float] | None = None
    """The duration in nine of ten cases. None when unknown."""
    tried_again: bool = False
    """It ran out of memory and was started again with a smaller batch size."""


class RunnerView(FrozenModel):
    """A runner as a person chooses it."""

    name: str
    """Its name in a request; the default one is `local`."""
    title: str
    """Name for people."""
    sentence: str
    """Where runs train, and when to choose it."""
    hardware: str
    """Memory and GPUs that it offers. Empty: unknown."""
    unavailable_reason: str
    """Why it can't be used. Empty when it can."""
    is_elsewhere: bool
    """Runs train on another machine, whose memory is not known here."""


class WorkerState(FrozenModel):
    """The worker of a run."""

    pid: int | None = None
    identity: str = ""
    """The start time of the process, because pids are reused."""
    heartbeat: str | None = None
