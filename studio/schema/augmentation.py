"""Rows that were made from others and wait for a person's word."""

from typing import Any, Literal

from studio.schema.base import FrozenModel

Verdict = Literal["waiting", "kept", "refused"]


class MadeRow(FrozenModel):
    """One proposal."""

    number: int
    """Its number among the proposals, from 1."""
    source: int
    """The row that it was made from."""
    way: str
    before: str
    """The source's text."""
    after: str
    verdict: Verdict = "waiting"


class Proposals(FrozenModel):
    """All proposals for a version of a dataset."""

    rows: tuple[MadeRow, ...] = ()
    made_by: str = ""
    """The way, and the model where one wrote."""
    skipped: int = 0
    """Rows for which nothing honest could be made."""

    def count(self, verdict: Verdict) -> int:
        """Proposals with that verdict."""
        return sum(row.verdict == verdict for row in self.rows)


class WayView(FrozenModel):
    """A way to make rows, and why it can't be used."""

    name: str
    title: str
    sentence: str
    unavailable_reason: str = ""


Values = dict[str, Any]
