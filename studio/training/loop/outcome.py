"""The outcome of a run. Imports no torch."""

from dataclasses import dataclass, field
from pathlib import Path

from studio.schema.runs import StopWish


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run."""

    kind: str
    """`adapter` or `model`."""
    path: Path | None
    """Its folder. None when nothing was saved."""
    stopped: StopWish | None
    early: bool
    """Early stopping has ended the run."""
    steps: int
    best_step: int | None
    metrics: dict[str, float] = field(default_factory=dict)
    no_room: bool = False
    """The run stopped because the visitor's disk quota is used up."""
