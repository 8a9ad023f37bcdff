"""Which row comes next: a registry of orders, and a queue that remembers how far it is.

An order is a list of rows to look through and a question: is this row wanted now? Rows that another person has on the
screen are passed over, so that two people never do the same row at once unless they mean to.
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from studio.schema.labeling import Suggestion
from studio.services.labeling.progress import LabelingProgress


@dataclass(frozen=True)
class Order:
    """One order of the rows."""

    name: str
    title: str
    rows: Callable[[LabelingProgress, str, Mapping[int, Suggestion]], Sequence[int]]
    """All rows that may come, in their order: of a board, for a person, with suggestions."""
    wants: Callable[[LabelingProgress, int, str], bool]
    offered: Callable[[LabelingProgress, str, Mapping[int, Suggestion]], bool]
    skipped_last: bool = True
    """Rows that were skipped come again at the end."""
    shuts: bool = False
    """What others gave is not shown: the person is to judge for herself."""


def _open(board: LabelingProgress, row: int, labeller: str) -> bool:
    return board.is_open(row, labeller)


def _second_wanted(board: LabelingProgress, row: int, labeller: str) -> bool:
    return board.mine(row, labeller) is None and any(
        name != labeller and mark.what == "given" and mark.value is not None
        for name, mark in board.marks.get(row, {}).items()
    )


def _unseen(board: LabelingProgress, row: int, labeller: str) -> bool:
    return board.mine(row, labeller) is None


def _unsure(board: LabelingProgress, row: int, labeller: str) -> bool:
    mark = board.mine(row, labeller)
    return mark is not None and mark.what == "unsure"


def _file(board: LabelingProgress, labeller: str, suggested: Mapping[int, Suggestion]) -> Sequence[int]:
    return range(1, board.total + 1)


def _random(board: LabelingProgress, labeller: str, suggested: Mapping[int, Suggestion]) -> Sequence[int]:
    rows = list(range(1, board.total + 1))
    random.Random(f"{labeller} {board.total}").shuffle(rows)
    return rows


def _least_sure(board: LabelingProgress, labeller: str, suggested: Mapping[int, Suggestion]) -> Sequence[int]:
    ranked = sorted(suggested, key=lambda row: (suggested[row].sure, row))
    return [*ranked, *(row for row in range(1, board.total + 1) if row not in suggested)]


def _of_others(board: LabelingProgress, labeller: str, suggested: Mapping[int, Suggestion]) -> Sequence[int]:
    rows = sorted(row for row in board.marks if _second_wanted(board, row, labeller))
    random.Random(f"{labeller} second").shuffle(rows)
    return rows


def _put_aside(board: LabelingProgress, labeller: str, suggested: Mapping[int, Suggestion]) -> Sequence[int]:
    return board.marked("unsure", labeller)


ORDERS: dict[str, Order] = {
    order.name: order
    for order in (
        Order("file", "As in the file", _file, _open, lambda board, who, suggested: True),
        Order("least-sure", "Least sure first", _least_sure, _open, lambda board, who, suggested: bool(suggested)),
        Order("random", "Random", _random, _open, lambda board, who, suggested: True),
        Order("review", "Every row, done or not", _file, _unseen, lambda board, who, suggested: bool(board.brought)),
        Order(
            "second",
            "Second opinion: rows of others",
            _of_others,
            _second_wanted,
            lambda board, who, suggested: any(name != who for name in board.labellers()),
            False,
            True,
        ),
        Order(
            "unsure",
            "Those I was unsure of",
            _put_aside,
            _unsure,
            lambda board, who, suggested: bool(board.marked("unsure", who)),
            False,
        ),
    )
}


@dataclass
class Queue:
    """The rows of one order for one person, and how many of the first ones are done for good."""

    order: Order
    rows: Sequence[int]
    passed: int = 0

    def next(self, board: LabelingProgress, labeller: str, taken: Collection[int]) -> int | None:
        """The next row that is wanted and that nobody else has on the screen."""
        first_waiting = None
        for place in range(self.passed, len(self.rows)):
            row = self.rows[place]
            if not self.order.wants(board, row, labeller):
                if first_waiting is None and row in board.final:
                    self.passed = place + 1
                continue
            first_waiting = first_waiting or row
            if row not in taken:
                return row
        if self.order.skipped_last:
            later = [row for row in board.marked("skip", labeller) if row not in taken]
            if later:
                return later[0]
        return first_waiting
