"""Predictions of a run's model for many rows, as they are saved in the folder of the run."""

from typing import Literal

from studio.schema.base import FrozenModel

Which = Literal["all", "unlabeled"]
"""Rows that are predicted: all of a dataset, or those without a label."""
REVIEWS = ("accepted", "corrected", "not reviewed")
"""What a person decided about a predicted label."""


class PredictedRow(FrozenModel):
    """The prediction for one row."""

    row: int
    """Its number, from 1."""
    prediction: str
    """The label, the score or the reply. Empty for a row without input."""
    confidence: float | None = None
    """Probability of the label, 0 to 1. None for scores and replies."""
    labels: tuple[tuple[str, float], ...] = ()
    """(label, probability) of the likeliest labels, likeliest first. Empty for several labels, scores and replies."""


class PredictionSet(FrozenModel):
    """The predictions of one run for one version of a dataset."""

    id: str
    run: str
    """Id of the run."""
    dataset: str
    version: int
    name: str
    """The dataset's name for people."""
    which: Which = "all"
    total: int
    """Rows to predict."""
    done: int = 0
    """Rows that are saved."""
    step: int | None = None
    """The training step of the model that predicts. Another step is another model."""
    created: str
    """ISO 8601 in UTC."""
    seconds: float = 0.0
    """Time that it took, with loading the model."""
    note: str = ""
    """Why it ended early. Empty: it did not, or a person canceled it."""

    @property
    def complete(self) -> bool:
        """Whether each row has its prediction."""
        return self.done >= self.total
