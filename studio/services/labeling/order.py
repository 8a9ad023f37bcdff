"""The order of rows: a registry of `Order` objects, and the screen of each person with the rows that come next.

Rows on another person's screen are left out, so two people never label the same row at once unless they choose to.
"""

import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.schema.labeling import Suggestion
from studio.services.labeling.state import LabelingState

Suggested = Mapping[int, Suggestion]
"""Row → its suggestion."""
AWAY = 180.0
"""Seconds after which a row on one person's screen may be shown to another person."""


@dataclass(frozen=True)
class Order:
    """One order of rows. The functions get the state, the name of the person, and suggestions or a row."""

    name: str
    title: str
    rows: Callable[[LabelingState, str, Suggested], Sequence[int]]
    """Candidates, in order."""
    wants: Callable[[LabelingState, int, str], bool]
    """Whether a candidate is still to be shown to this person."""
    is_offered: Callable[[LabelingState, str, Suggested], bool] = lambda state, labeler, suggested: True
    is_selection: bool = False
    """The candidates depend on the labels so far. Rows on other screens are not left out, skipped rows don't return."""


def _is_open(state: LabelingState, row: int, labeler: str) -> bool:
    return state.is_open(row, labeler)


def _is_unseen(state: LabelingState, row: int, labeler: str) -> bool:
    return state.mark(row, labeler) is None


def _needs_second_opinion(state: LabelingState, row: int, labeler: str) -> bool:
    return state.mark(row, labeler) is None and any(fact.labeller != labeler for fact in state.given(row))


def _is_unsure(state: LabelingState, row: int, labeler: str) -> bool:
    mark = state.mark(row, labeler)
    return mark is not None and mark.what == "unsure"


def _all_rows(state: LabelingState, labeler: str, suggested: Suggested) -> Sequence[int]:
    return range(1, state.total + 1)


def _shuffled(rows: Iterable[int], seed: str) -> list[int]:
    rows = list(rows)
    random.Random(seed).shuffle(rows)
    return rows


def _least_sure_first(state: LabelingState, labeler: str, suggested: Suggested) -> Sequence[int]:
    ranked = sorted(suggested, key=lambda row: (suggested[row].sure, row))
    return [*ranked, *(row for row in range(1, state.total + 1) if row not in suggested)]


def _labeled_by_others(state: LabelingState, labeler: str, suggested: Suggested) -> Sequence[int]:
    return _shuffled(
        (row for row in sorted(state.marks) if _needs_second_opinion(state, row, labeler)), f"{labeler} second"
    )


ORDERS: dict[str, Order] = {
    order.name: order
    for order in (
        Order("file", "As in the file", _all_rows, _is_open),
        Order(
            "least-sure",
            "Least sure first",
            _least_sure_first,
            _is_open,
            lambda state, labeler, suggested: bool(suggested),
        ),
        Order(
            "random",
            "Random",
            lambda state, labeler, suggested: _shuffled(range(1, state.total + 1), f"{labeler} {state.total}"),
            _is_open,
        ),
        Order(
            "review",
            "Every row, done or not",
            _all_rows,
            _is_unseen,
            lambda state, labeler, suggested: bool(state.initial),
        ),
        Order(
            "second",
            "Second opinion: rows of others",
            _labeled_by_others,
            _needs_second_opinion,
            lambda state, labeler, suggested: any(name != labeler for name in state.labelers()),
            is_selection=True,
        ),
        Order(
            "unsure",
            "Those I was unsure of",
            lambda state, labeler, suggested: state.marked("unsure", labeler),
            _is_unsure,
            lambda state, labeler, suggested: bool(state.marked("unsure", labeler)),
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

    def next(
        self,
        state: LabelingState,
        labeler: str,
        order: Order,
        suggested: Suggested,
        trained: str,
        taken: Collection[int],
    ) -> int | None:
        """Return the row that the queue has next. `taken` are rows on other screens.

        The queue is made anew after another choice of order, an undo, and, for `least-sure`, a training of the
        classifier at the time `trained`.
        """
        if order.is_selection:
            return next(
                (row for row in order.rows(state, labeler, suggested) if order.wants(state, row, labeler)), None
            )
        source = (state, order.name, trained if order.name == "least-sure" else "")
        if source != self._source:
            self._source, self._queue, self._passed = source, order.rows(state, labeler, suggested), 0
        first_taken = None
        for place in range(self._passed, len(self._queue)):
            row = self._queue[place]
            if order.wants(state, row, labeler):
                if row not in taken:
                    return row
                first_taken = first_taken or row
            elif first_taken is None and row in state.values:
                self._passed = place + 1
        return next((row for row in state.marked("skip", labeler) if row not in taken), first_taken)
