"""What is told of labels as a whole: which are likely wrong, and what more of them would bring."""

from studio.schema.base import FrozenModel


class Suspect(FrozenModel):
    """A row whose label is likely wrong."""

    label: str
    """The label that it has."""
    likelier: str
    """The label that a classifier, which never learned from this row, gives it."""
    chance: float
    """How sure the classifier is, 0 to 1."""


class CurvePoint(FrozenModel):
    """How well so many rows do."""

    rows: int
    score: float
    """Share of the rows kept apart that were given their label."""
    low: float
    high: float
    """The worst and the best of several subsets of that size."""


class LearningCurve(FrozenModel):
    """Score by number of rows, and what it means."""

    points: tuple[CurvePoint, ...]
    held: int
    """Rows that were kept apart and measured on."""
    labels: int
    sentence: str = ""
    """Whether more rows would help."""
