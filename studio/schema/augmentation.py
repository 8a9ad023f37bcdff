"""Rows made by augmentation, which wait for a review."""

from typing import Any, Literal

from studio.schema.base import FrozenModel

Verdict = Literal["waiting", "kept", "refused"]


class AugmentationRequest(FrozenModel):
    """Which rows to make."""

    way: str
    """Name of a way to make rows."""
    count: int
    model: str | None = None
    """The model that writes them, for ways that need one."""
    seed: int = 0


class MadeRow(FrozenModel):
    """One made row."""

    number: int
    """Its number among the made rows, from 1."""
    source: int
    """The row that it was made from."""
    way: str
    before: str
    """The text of the source row."""
    after: str
    verdict: Verdict = "waiting"


class Proposals(FrozenModel):
    """All made rows for a version of a dataset."""

    rows: tuple[MadeRow, ...] = ()
    made_by: str = ""
    """How they were made, with the model if one wrote them."""
    skipped: int = 0
    """Rows for which nothing plausible could be made."""

    def count(self, verdict: Verdict) -> int:
        """Number of rows with a verdict."""
        return sum(row.verdict == verdict for row in self.rows)


class WayView(FrozenModel):
    """A way to make rows, and the reason why it can't be used, if any."""

    name: str
    title: str
    sentence: str
    unavailable_reason: str = ""


Values = dict[str, Any]
