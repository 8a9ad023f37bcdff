"""What came of a run, told without torch."""

from dataclasses import dataclass, field
from pathlib import Path

from studio.schema.runs import StopWish


@dataclass(frozen=True)
class Outcome:
    """What came of a run."""

    kind: str
    """`adapter` or `model`."""
    path: Path | None
    """Its folder; None when nothing was kept."""
    stopped: StopWish | None
    early: bool
    """Early stopping ended it."""
    steps: int
    best_step: int | None
    metrics: dict[str, float] = field(default_factory=dict)
    no_room: bool = False
    """It was stopped because the disk space that a visitor may take was used up."""
