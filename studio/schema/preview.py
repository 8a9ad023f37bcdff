"""Rows as the model gets them: their lengths, the longest ones, and the first batch of a run."""

from pydantic import Field

from studio.schema.base import FrozenModel
from studio.schema.report import TokenView


class LengthStats(FrozenModel):
    """How long the rows are, in tokens of the chosen model."""

    rows: int
    middle: int
    longest: int
    over: int
    """Rows longer than the limit."""
    bins: tuple[tuple[int, int], ...] = ()
    """(upper end in tokens, rows)."""
    limit: int = 0
    """Maximum length in tokens: as set, otherwise as planned."""
    most: int = 0
    """The longest limit that the model can read."""
    by_length: tuple[tuple[int, int], ...] = ()
    """(tokens, rows of that length), to count the rows that another limit would truncate."""
    longest_rows: tuple[tuple[int, int], ...] = ()
    """(row, tokens), the longest first."""
    sampled: bool = False
    """Not all rows were counted."""


class BatchRow(FrozenModel):
    """One line of a batch."""

    row: int | None
    """Its number. None for packed rows."""
    tokens: tuple[TokenView, ...]
    padding: int
    """Padding tokens."""
    label: str = ""
    """The label to learn, for tasks with labels."""


class Batch(FrozenModel):
    """Rows that training reads together, as its own sampler and collator put them."""

    rows: tuple[BatchRow, ...]
    width: int
    """Tokens of the longest."""
    steps: int = 0
    """Batches of one pass over the rows."""
    at_once: int = Field(default=1)
    """Batches that make one step."""
    padded: bool = True
    """False: the padding is there and not computed, since rows are laid end to end."""
