"""Cross-validation of a run: its folds and their state."""

from typing import Literal

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.runs import RunRecord

FOLDS = 5
"""The usual number of folds."""
MOST_FOLDS = 20


Status = Literal["training", "paused", "trained", "finished", "stopped", "failed"]


class CrossValidation(FrozenModel):
    """The runs of a cross-validation, as saved with the run that it is about."""

    folds: int
    """Number of folds."""
    runs: tuple[str, ...]
    """Id of the run of each fold, in their order."""
    created: str
    """ISO 8601 in UTC."""
    stopped: bool = False
    """It was canceled."""


class FoldsView(FrozenModel):
    """The state of a cross-validation."""

    status: Status
    """`trained`: all folds have a model, and the evaluation has not been made yet."""
    folds: int
    """Number of folds."""
    runs: tuple[RunRecord, ...] = ()
    """The run of each fold that still exists, in their order."""
    share: float = Field(default=0.0, ge=0, le=1)
    """Fraction of the training that is done."""
    seconds_left: float | None = None
    """Estimated training time that is left. None: unknown."""
    sentence: str = ""
    """The state in a sentence."""
