"""Difference of two tables: which rows were added, removed or changed, and in which cells.

Equal rows are matched first, in order. Rows between two matches are paired by similarity. So a row is recognized when
rows above it were removed.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.data.table import Row, Table
from studio.data.values import is_blank

MAX_COMPARED = 40_000
"""Maximum number of row pairs in one place to compare. With more, rows are paired in order."""
NONE = 0
"""Means no row: row numbers begin at 1."""


@dataclass
class Difference:
    """The difference of two tables."""

    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    before: "array[int]" = field(default_factory=lambda: array("Q"))
    after: "array[int]" = field(default_factory=lambda: array("Q"))
    """Row numbers of each difference, in table order. before is 0 for an added row, after is 0 for a removed one."""
    same: int = 0

    def count(self, kind: str) -> int:
        """Return the number of differences of one kind."""
        return sum(1 for _ in self.pairs(kind))

    def pairs(self, kind: str = "") -> Iterator[tuple[int, int]]:
        """Yield row numbers before and after, of one kind or of all."""
        for pair in zip(self.before, self.after, strict=True):
            if not kind or kind_of(*pair) == kind:
                yield pair


def kind_of(before: int, after: int) -> str:
    """Return `added`, `removed` or `changed`."""
    return "added" if before == NONE else "removed" if after == NONE else "changed"


def compare(before: Table, after: Table) -> Difference:
    """Return the difference. Memory holds three integers per row, and the rows of one place at a time."""
    return _Comparison(before, after).difference()


def changed_cells(before: Row, after: Row) -> dict[str, tuple[Any, Any]]:
    """Return column → value before and after, for values that differ. All blank values are equal."""
    return {
        column: (before.get(column), after.get(column))
        for column in dict.fromkeys((*before, *after))
        if _plain(before.get(column)) != _plain(after.get(column))
    }


def _plain(value: Any) -> Any:
    return None if is_blank(value) else value


def _keys(table: Table, columns: Sequence[str]) -> "array[int]":
    """Return an integer for each row. Equal rows have equal integers."""
    keys = array("q")
    for _, row in table.numbered():
        values = (_plain(row.get(column)) for column in columns)
        keys.append(hash(tuple(repr(value) if isinstance(value, list | dict) else value for value in values)))
    return keys


class _Comparison:
    """Two tables, and the rows that are matched so far."""

    def __init__(self, before: Table, after: Table) -> None:
        self.before, self.after = before, after
        self.common = [column for column in before.columns if column in after.columns]
        self.matches = array("Q", bytes(8 * (len(before) + 1)))
        """The row after of each row before. Index 0 is unused."""
        self.taken = bytearray(len(after) + 1)

    def difference(self) -> Difference:
        """Match equal rows, then rows that are equal in the common columns, then similar rows in the same place."""
        old, new = self.before.columns, self.after.columns
        added = tuple(column for column in new if column not in old)
        difference = Difference(added, tuple(column for column in old if column not in new))
        self._match([*old, *added])
        same = bytearray(number != NONE for number in self.matches)
        if self.common and len(self.common) < len(old) + len(added):
            self._match(self.common)
        difference.same = sum(same)
        for number, partner in self._pairs():
            if not (number and same[number]):
                difference.before.append(number)
                difference.after.append(partner)
        return difference

    def _match(self, columns: Sequence[str]) -> None:
        """Match rows that are equal in some columns and have no match yet."""
        unmatched: dict[int, list[int]] = {}
        for number, key in enumerate(_keys(self.after, columns), 1):
            if not self.taken[number]:
                unmatched.setdefault(key, []).append(number)
        for numbers in unmatched.values():
            numbers.reverse()
        for number, key in enumerate(_keys(self.before, columns), 1):
            if self.matches[number] == NONE and (queue := unmatched.get(key)):
                self.matches[number] = queue.pop()
                self.taken[self.matches[number]] = 1

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """Yield all rows in table order, also equal ones. Unmatched rows are compared with those in the same place."""
        position = 1
        removed: list[int] = []
        for number in range(1, len(self.before) + 1):
            partner = self.matches[number]
            if partner == NONE:
                removed.append(number)
                continue
            if partner >= position:
                yield from self._paired(removed, self._added(position, partner))
                removed, position = [], partner + 1
            yield number, partner
        yield from self._paired(removed, self._added(position, len(self.after) + 1))

    def _added(self, first: int, upto: int) -> list[int]:
        return [number for number in range(first, upto) if not self.taken[number]]

    def _paired(self, removed: Sequence[int], added: Sequence[int]) -> list[tuple[int, int]]:
        """Pair rows of one place: changed if they are similar, else removed or added."""
        partner: dict[int, int] = {}
        if removed and added and self.common:
            in_order = len(removed) * len(added) > MAX_COMPARED or len(removed) == len(added)
            partner = dict(zip(removed, added, strict=False)) if in_order else self._most_alike(removed, added)
        matched = set(partner.values())
        removed_or_changed = [(number, partner.get(number, NONE)) for number in removed]
        return [*removed_or_changed, *((NONE, number) for number in added if number not in matched)]

    def _most_alike(self, removed: Sequence[int], added: Sequence[int]) -> dict[int, int]:
        old = {number: self.before.row(number) for number in removed}
        new = {number: self.after.row(number) for number in added}
        scored = sorted(
            (-sum(one[column] == other[column] and not is_blank(one[column]) for column in self.common), a, b)
            for a, one in old.items()
            for b, other in new.items()
        )
        pairs: dict[int, int] = {}
        matched: set[int] = set()
        for score, a, b in scored:
            if score and a not in pairs and b not in matched:
                pairs[a] = b
                matched.add(b)
        return pairs
