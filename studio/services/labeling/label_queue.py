"""The rows of one person: the orders to choose from, the row on the screen, and the rows that come next.

Rows on another person's screen are left out, so two people never label the same row at once unless they choose to.
"""

import random
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio.schema.labeling import Suggestion

if TYPE_CHECKING:
    from studio.services.labeling.session import Session

AWAY = 180.0
"""Seconds after which a row on one person's screen may be shown to another person."""
ORDERS = {
    "file": "As in the file",
    "least-sure": "Least certain first",
    "random": "Random",
    "review": "All rows, labeled or not",
    "second": "Second opinion: rows that others labeled",
    "unsure": "Rows that I marked as unsure",
}


def available_orders(session: "Session") -> dict[str, str]:
    """Return name → title of the orders that a person can choose now."""
    state, person = session.state, session.labeler
    available = {
        "least-sure": bool(session.suggested),
        "review": bool(state.initial),
        "second": any(name != person for name in state.labelers()),
        "unsure": bool(state.marked("unsure", person)),
    }
    return {name: title for name, title in ORDERS.items() if available.get(name, True)}


def ordered_rows(session: "Session", order: str) -> Sequence[int]:
    """Return the rows of an order. Some may be done: see `wants`."""
    state, person, suggested = session.state, session.labeler, session.suggested
    every = range(1, state.total + 1)
    match order:
        case "least-sure":
            ranked = sorted(suggested, key=lambda row: (suggested[row].sure, row))
            return [*ranked, *(row for row in every if row not in suggested)]
        case "random":
            return random.Random(f"{person} {state.total}").sample(every, state.total)
        case "second":
            given = sorted({row for facts in state.marks["given"].values() for row in facts})
            rows = [row for row in given if wants(session, order, row)]
            return random.Random(f"{person} second").sample(rows, len(rows))
        case "unsure":
            return list(state.marked("unsure", person))
        case _:
            return every


def wants(session: "Session", order: str, row: int) -> bool:
    """Return whether an order still has a row for this person."""
    state, person = session.state, session.labeler
    match order:
        case "review":
            return state.mark(row, person) is None
        case "second":
            return state.mark(row, person) is None and any(fact.labeller != person for fact in state.given(row))
        case "unsure":
            return row in state.marked("unsure", person)
        case _:
            return state.is_open(row, person)


@dataclass
class LabelQueue:
    """The row on one person's screen, and the rows that come next. It is lost when the server restarts."""

    row: int | None = None
    suggestion: Suggestion | None = None
    """The suggestion that is shown with the row."""
    opened: bool = False
    """The person chose this row."""
    since: float = 0.0
    _source: tuple[Any, ...] = ()
    """What the queue was made from."""
    _rows: Sequence[int] = ()
    _passed: int = 0
    """Number of rows at the start of the queue that have a value."""

    def show(self, row: int | None) -> None:
        """Put a row that the person chose on the screen, labeled or not. None: the next row comes."""
        self.row, self.opened = row, row is not None

    def advance(self, session: "Session") -> None:
        """Keep the row on the screen while the order wants it, else take the next one."""
        since, known = time.monotonic() - AWAY, ("", session.labeler)
        others = (queue for name, queue in session.queues.items() if name not in known and queue.since > since)
        taken = {queue.row for queue in others if queue.row}
        # a person without a name who then enters one leaves a screen without a name, with the same row
        renamed = not session.labeler and self.row in taken
        if not self.row or renamed or not (self.opened or wants(session, session.order, self.row)):
            self.row, self.opened = self._next(session, taken), False
        is_open = self.row is not None and session.state.is_open(self.row, session.labeler)
        self.suggestion = session.suggested.get(self.row) if self.row and is_open else None
        self.since = time.monotonic()

    def _next(self, session: "Session", taken: Collection[int]) -> int | None:
        """Return the row that the queue has next. `taken` are rows on other screens.

        The queue is built again after another choice of order, an undo, and, for `least-sure`, a training of the
        classifier.
        """
        order, state = session.order, session.state
        if order in ("second", "unsure"):  # a few rows, which depend on the labels so far and may be on other screens
            return next(iter(ordered_rows(session, order)), None)
        source = (state, order, session.suggested if order == "least-sure" else None)
        if source != self._source:
            self._source, self._rows, self._passed = source, ordered_rows(session, order), 0
        first_taken = None
        for place in range(self._passed, len(self._rows)):
            row = self._rows[place]
            if wants(session, order, row):
                if row not in taken:
                    return row
                first_taken = first_taken or row
            elif first_taken is None and row in state.values:
                self._passed = place + 1
        return next((row for row in state.skipped(session.labeler) if row not in taken), first_taken)
