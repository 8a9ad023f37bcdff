"""What a model gets to see of the rows: how long they are, which are longest, and the first batch of a run."""

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
    """Longest row in tokens that training would read: as set, else as planned."""
    most: int = 0
    """The longest limit that the model can read."""
    by_length: tuple[tuple[int, int], ...] = ()
    """(tokens, rows of that length): what tells how many rows another limit would cut."""
    longest_rows: tuple[tuple[int, int], ...] = ()
    """(row, tokens), the longest first."""
    sampled: bool = False
    """Not all rows were counted."""


class BatchRow(FrozenModel):
    """One line of a batch."""

    row: int | None
    """Its number; None where several rows share a line."""
    tokens: tuple[TokenView, ...]
    padding: int
    """Places filled up to the longest of the batch."""
    label: str = ""
    """What is to be learned, when it is a label and not tokens."""


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
