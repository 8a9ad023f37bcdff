"""Near duplicates: rows in which at least nine in ten words agree with a row above, in the same order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from studio.data.checks.base import Check, Context, RowView, messages_in
from studio.data.checks.duplicate import key_of
from studio.data.checks.labels import labels_of_row
from studio.data.near_duplicates import Texts, in_sample
from studio.data.synthetic import is_synthetic
from studio.schema.numbers import plural, rows

MOST = 100_000
"""Maximum number of rows to compare, unless all rows are requested."""


def one_in(context: Context) -> int:
    """Return n if one row in n is compared."""
    return 1 if context.whole else -(-len(context.table) // MOST)


def duplicate_group(view: RowView) -> str:
    """Return the key that near duplicates must share: the labels. Rows with different labels are no duplicates."""
    return "\n".join(labels_of_row(view.values))


def texts_by_role(view: RowView) -> list[str]:
    """Return the texts of a row without its label: one for each role, and one for each side of a conversation."""
    texts = []
    for role, value in view.values.items():
        if isinstance(value, str):
            if role != "label":
                texts.append(value)
        elif messages := messages_in(value):
            for from_user in (True, False):
                texts.append(
                    "\n".join(message["content"] for message in messages if (message["role"] == "user") is from_user)
                )
    return texts


@dataclass(frozen=True)
class NearDuplicates:
    """The near duplicates of a pass."""

    pairs: Sequence[tuple[int, int]]
    """Each row that is a near duplicate of a row above, with that row."""
    copies: Sequence[tuple[int, int]]
    """Exact duplicates, each with the first equal row."""
    compared: int
    """Number of texts compared."""


class NearDuplicateFinder(Protocol):
    """Finds near duplicates during a pass."""

    one_in: int
    """One row in this many is compared."""

    def visit(self, view: RowView) -> None:
        """Add a row."""

    @property
    def result(self) -> NearDuplicates:
        """The near duplicates. Valid after the last row."""


def near_duplicate_finder(context: Context) -> NearDuplicateFinder:
    """Return the finder of this pass. The checks share it, so that the search runs once."""
    finder: NearDuplicateFinder = context.shared.setdefault("near", LocalFinder(context))
    return finder


class LocalFinder:
    """Compares the rows of a pass in this process."""

    def __init__(self, context: Context) -> None:
        self.texts = Texts()
        self.one_in = one_in(context)
        self._copies: list[tuple[int, int]] = []
        self._first: dict[int, int] = {}
        self._last = 0

    def visit(self, view: RowView) -> None:
        """Add a row, unless it was added before, is synthetic, or is not in the sample."""
        if view.number == self._last or is_synthetic(view.row):
            return
        self._last = view.number
        texts = texts_by_role(view)
        if (self.one_in > 1 and len(self.texts) >= 1.5 * MOST) or not in_sample(texts, self.one_in):
            return
        first = self._first.setdefault(key_of(view.values), view.number)
        if first == view.number:
            self.texts.add(view.number, texts, duplicate_group(view))
        else:
            self._copies.append((view.number, first))

    @cached_property
    def result(self) -> NearDuplicates:
        return NearDuplicates(list(self.texts.near()), self._copies, len(self.texts))


class NearDuplicate(Check):
    kind = "near-duplicate"
    why = "Repeated rows count more than others. If a copy is held out, the model may have memorized it."
    fix = "Remove the later ones"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.near = near_duplicate_finder(context)

    def visit(self, view: RowView) -> None:
        self.near.visit(view)

    def finish(self) -> None:
        self.row_numbers.extend(number for number, _ in self.near.result.pairs)

    def message(self) -> str:
        message = plural(
            len(self.row_numbers),
            "{n} row is nearly the same as a row above: at least 90% of the words agree, in the same order.",
            "{n} rows are nearly the same as a row above: at least 90% of the words agree, in the same order.",
        )
        if self.near.one_in > 1:
            message += f" Checked in a sample of {rows(self.near.result.compared)}."
        return message
