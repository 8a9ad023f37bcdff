"""Quality of labels: rows whose label is likely wrong, and learning curves."""

from studio.schema.base import FrozenModel


class Suspect(FrozenModel):
    """A row whose label is likely wrong."""

    label: str
    """The label of the row."""
    likelier: str
    """The label that a classifier predicts, which was not trained on this row."""
    chance: float
    """Probability of that label, 0 to 1."""


class CurvePoint(FrozenModel):
    """The score with some number of rows."""

    rows: int
    score: float
    """Share of the held-out rows whose label was predicted."""
    low: float
    high: float
    """The lowest and the highest score of several subsets of that size."""


class LearningCurve(FrozenModel):
    """Score by number of rows, and its interpretation."""

    points: tuple[CurvePoint, ...]
    held: int
    """Held-out rows that the score is measured on."""
    labels: int
    sentence: str = ""
    """Whether more rows would help."""
