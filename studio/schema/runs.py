"""A run: what was asked, where it stands, what came of it."""

from typing import Literal

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec

RunStatus = Literal[
    "queued", "paused", "starting", "training", "stopping", "finished", "stopped", "interrupted", "failed"
]
ACTIVE: frozenset[RunStatus] = frozenset({"queued", "starting", "training", "stopping"})
"""States in which a worker is, or should be, at work or waiting."""
StopWish = Literal["keep", "discard", "pause"]
"""End after this step and keep the best so far, or nothing; or give the turn away and go on later as if nothing was."""
GOES_ON: frozenset[str] = frozenset({"paused", "interrupted", "stopped", "failed"})
"""States from which a run can go on."""
PHASES = ("preparing", "loading", "reading", "training", "saving")
"""In the order in which a run goes through them."""
PHASE_WORDS: dict[str, str] = {
    "preparing": "Preparing",
    "loading": "Loading the model",
    "reading": "Reading rows",
    "training": "Training",
    "saving": "Saving",
}


class RunRecord(FrozenModel):
    """One run as the store keeps it."""

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
    """Time at work, in seconds."""
    dataset: str = ""
    dataset_version: int = 1
    reason: str = ""
    """Why it ended as it did, in plain words, with what to do next; empty when all went well."""
    stop_wish: StopWish | None = None
    phase: str = ""
    step: int = 0
    steps: int = 0
    best_step: int | None = None
    has_result: bool = False
    """There is an adapter or a model on disk that can be chatted with."""
    metrics: dict[str, float] = Field(default_factory=dict)
    tags: tuple[str, ...] = ()
    note: str = ""
    """A person's own words on it."""
    archived: bool = False
    """Put aside: not listed unless asked for."""


class Replay(FrozenModel):
    """General rows that are mixed into what a run learns from."""

    dataset: str
    version: int
    roles: dict[str, str]
    """Its own columns and what they are."""
    left_out: tuple[str, ...] = ()


class RunSpec(FrozenModel):
    """All that a worker needs to know: the settings and which rows, read how. Kept as the run's config.yaml."""

    config: TrainingConfig
    dataset: str
    """Dataset id."""
    dataset_version: int
    data: DatasetSpec
    splits: SplitSpec
    validation_dataset: str | None = None
    """A dataset that serves as validation whole, when one was given."""
    validation_version: int = 1
    replay: Replay | None = None
    runner: str = "local"
    """Where it trains; see services/runners."""
    because: tuple[str, ...] = ()
    """Why the settings are what they are."""
    memory_bytes: int = 0
    """Estimated peak memory; 0 when unknown."""
    disk_bytes: int = 0
    """Estimated disk space of its checkpoints and its result; 0 when unknown."""
    seconds: float = 0.0
    """Estimated duration; 0 when unknown."""
    tried_again: bool = False
    """It ran out of memory, and is tried once more with fewer rows at once."""


class WorkerState(FrozenModel):
    """Who is at work on a run."""

    pid: int | None = None
    identity: str = ""
    """The process's start, so that a pid used again is not taken for it."""
    heartbeat: str | None = None
