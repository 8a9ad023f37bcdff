"""The order of rows: a registry of `Order` objects, and the screen of each person with the rows that come next.

Rows on another person's screen are left out, so two people never label the same row at once unless they choose to.
"""

import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.schema.labeling import Suggestion

if TYPE_CHECKING:
    from studio.services.labeling.session import Session

AWAY = 180.0
"""Seconds after which a row on one person's screen may be shown to another person."""


@dataclass(frozen=True)
class Order:
    """One order of rows, for the person of a session."""

    name: str
    title: str
    rows: Callable[["Session"], Sequence[int]]
    """Candidates, in order."""
    wants: Callable[["Session", int], bool]
    """Whether a candidate is still to be shown to this person."""
    is_offered: Callable[["Session"], bool] = lambda session: True
    is_selection: bool = False
    """The candidates depend on the labels so far. Rows on other screens are not left out, skipped rows don't return."""


def _is_open(session: "Session", row: int) -> bool:
    return session.state.is_open(row, session.labeler)


def _is_unseen(session: "Session", row: int) -> bool:
    return session.state.mark(row, session.labeler) is None


def _needs_second_opinion(session: "Session", row: int) -> bool:
    return _is_unseen(session, row) and any(fact.labeller != session.labeler for fact in session.state.given(row))


def _is_unsure(session: "Session", row: int) -> bool:
    mark = session.state.mark(row, session.labeler)
    return mark is not None and mark.what == "unsure"


def _all_rows(session: "Session") -> Sequence[int]:
    return range(1, session.state.total + 1)


def _unsure_rows(session: "Session") -> Sequence[int]:
    return session.state.marked("unsure", session.labeler)


def _shuffled(rows: Iterable[int], seed: str) -> list[int]:
    rows = list(rows)
    random.Random(seed).shuffle(rows)
    return rows


def _least_sure_first(session: "Session") -> Sequence[int]:
    suggested = session.suggested
    ranked = sorted(suggested, key=lambda row: (suggested[row].sure, row))
    return [*ranked, *(row for row in _all_rows(session) if row not in suggested)]


def _labeled_by_others(session: "Session") -> Sequence[int]:
    rows = (row for row in sorted(session.state.marks) if _needs_second_opinion(session, row))
    return _shuffled(rows, f"{session.labeler} second")


ORDERS: dict[str, Order] = {
    order.name: order
    for order in (
        Order("file", "As in the file", _all_rows, _is_open),
        Order(
            "least-sure", "Least certain first", _least_sure_first, _is_open, lambda session: bool(session.suggested)
        ),
        Order(
            "random",
            "Random",
            lambda session: _shuffled(_all_rows(session), f"{session.labeler} {session.state.total}"),
            _is_open,
        ),
        Order("review", "All rows, labeled or not", _all_rows, _is_unseen, lambda session: bool(session.state.initial)),
        Order(
            "second",
            "Second opinion: rows that others labeled",
            _labeled_by_others,
            _needs_second_opinion,
            lambda session: any(name != session.labeler for name in session.state.labelers()),
            is_selection=True,
        ),
        Order(
            "unsure",
            "Rows that I marked as unsure",
            _unsure_rows,
            _is_unsure,
            lambda session: bool(_unsure_rows(session)),
            is_selection=True,
        ),
    )
}


@dataclass
class Screen:
    """One person's screen: the row on it, and the queue of rows to come. It is lost when the server restarts."""

    row: int | None = None
    suggestion: Suggestion | None = None
    """The suggestion that is shown with the row."""
    opened: bool = False
    """The person chose this row."""
    since: float = 0.0
    _source: tuple[Any, ...] = ()
    """What the queue was made from."""
    _queue: Sequence[int] = ()
    _passed: int = 0
    """Number of rows at the start of the queue that have a value."""

    def show(self, row: int | None, suggestion: Suggestion | None = None, opened: bool = False) -> None:
        """Put a row on the screen, or none."""
        self.row, self.suggestion, self.opened, self.since = row, suggestion, opened, time.monotonic()

    def next(self, session: "Session", order: Order, taken: Collection[int]) -> int | None:
        """Return the row that the queue has next. `taken` are rows on other screens.

        The queue is built again after another choice of order, an undo, and, for `least-sure`, a training of the
        classifier.
        """
        if order.is_selection:
            return next((row for row in order.rows(session) if order.wants(session, row)), None)
        trained = session.learned.time if session.learned and order.name == "least-sure" else ""
        source = (session.state, order.name, trained)
        if source != self._source:
            self._source, self._queue, self._passed = source, order.rows(session), 0
        first_taken = None
        for place in range(self._passed, len(self._queue)):
            row = self._queue[place]
            if order.wants(session, row):
                if row not in taken:
                    return row
                first_taken = first_taken or row
            elif first_taken is None and row in session.state.values:
                self._passed = place + 1
        skipped = session.state.marked("skip", session.labeler)
        return next((row for row in skipped if row not in taken), first_taken)
