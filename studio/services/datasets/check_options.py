"""Options of the data checks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from studio.schema.spans import Spans


@dataclass(frozen=True)
class CheckOptions:
    """How rows are checked."""

    roles: Mapping[str, str] | None = None
    """Column → role; None: as saved with the dataset, or inferred."""
    version: int | None = None
    leave_out: Sequence[str] = ()
    """Kinds of problems whose rows are left out."""
    rows_left_out: Spans | None = None
    """The rows of these kinds, where they are known."""
    validation: str | None = None
    """Id of the dataset that the run is validated on."""
    whole: bool = False
    """Search all rows for near-duplicates, also where a sample is the default."""
    model: str | None = None
    """The model that rows may be too long for."""
    max_length: int | None = None
    lengths: Mapping[int, int] | None = None
    """Row → tokens before truncation, as `model` counts them."""
    suspects: bool = True
    """Include labels that are likely wrong, where they were judged."""

    @property
    def key(self) -> tuple:
        """What a result depends on, beside the rows and their roles."""
        return hash(tuple((self.lengths or {}).items())), self.max_length or 0, self.whole, self.rows_left_out


DEFAULT_CHECKS = CheckOptions()
