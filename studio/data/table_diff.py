"""Two tables side by side: which rows were added, removed or changed, and in which cells. Knows no version.

Rows that are equal belong together, the first with the first and so on; of what is left, rows that stand in the same
place between two of those do, the most alike first. So a row is found again when rows above it are gone.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.data.table import Row, Table
from studio.data.values import is_blank

MOST_WEIGHED = 40_000
"""Pairs of rows in one place up to which all are weighed; beyond it they are taken in their order."""
NONE = 0
"""Stands for no row: row numbers begin at 1."""


@dataclass
class Difference:
    """What differs between two tables."""

    columns_added: tuple[str, ...]
    columns_removed: tuple[str, ...]
    before: "array[int]" = field(default_factory=lambda: array("Q"))
    after: "array[int]" = field(default_factory=lambda: array("Q"))
    """Row numbers of each difference in the order of the tables: 0 before for an added row, 0 after for a removed."""
    same: int = 0

    def count(self, kind: str) -> int:
        """How many differences of a kind there are."""
        return sum(1 for _ in self.pairs(kind))

    def pairs(self, kind: str = "") -> Iterator[tuple[int, int]]:
        """Row numbers before and after, of one kind or of all."""
        for pair in zip(self.before, self.after, strict=True):
            if not kind or kind_of(*pair) == kind:
                yield pair


def kind_of(before: int, after: int) -> str:
    """`added`, `removed` or `changed`."""
    return "added" if before == NONE else "removed" if after == NONE else "changed"


def compare(before: Table, after: Table) -> Difference:
    """All that differs. Memory holds three numbers a row, and the rows of one place at a time."""
    old, new = before.columns, after.columns
    common = [column for column in old if column in new]
    every = [*old, *(column for column in new if column not in old)]
    found = Difference(
        tuple(column for column in new if column not in old), tuple(column for column in old if column not in new)
    )
    matches = array("Q", bytes(8 * (len(before) + 1)))
    taken = bytearray(len(after) + 1)
    same = bytearray(len(before) + 1)
    _match(before, after, every, matches, taken, lambda number: same.__setitem__(number, 1))
    if common and len(common) < len(every):
        _match(before, after, common, matches, taken)
    found.same = sum(same)
    _walk(before, after, common, matches, taken, same, found)
    return found


def changed_cells(before: Row, after: Row) -> dict[str, tuple[Any, Any]]:
    """Column → value before and after, of those that differ; nothing in a cell is nothing, however it is written."""
    return {
        column: (before.get(column), after.get(column))
        for column in dict.fromkeys((*before, *after))
        if _plain(before.get(column)) != _plain(after.get(column))
    }


def _plain(value: Any) -> Any:
    return None if is_blank(value) else value


def _keys(table: Table, columns: Sequence[str]) -> "array[int]":
    """A number for each row, equal for equal rows."""
    keys = array("q")
    for _, row in table.numbered():
        values = (_plain(row.get(column)) for column in columns)
        keys.append(hash(tuple(repr(value) if isinstance(value, list | dict) else value for value in values)))
    return keys


def _match(
    before: Table,
    after: Table,
    columns: Sequence[str],
    matches: "array[int]",
    taken: bytearray,
    tell: Callable[[int], None] = lambda number: None,
) -> None:
    """Pair rows that are equal in some columns and have no partner yet."""
    waiting: dict[int, list[int]] = {}
    for number, key in enumerate(_keys(after, columns), 1):
        if not taken[number]:
            waiting.setdefault(key, []).append(number)
    for queue in waiting.values():
        queue.reverse()
    for number, key in enumerate(_keys(before, columns), 1):
        if matches[number] == NONE and (queue := waiting.get(key)):  # type: ignore[assignment]
            matches[number] = queue.pop()
            taken[matches[number]] = 1
            tell(number)


def _walk(
    before: Table,
    after: Table,
    common: Sequence[str],
    matches: "array[int]",
    taken: bytearray,
    same: bytearray,
    found: Difference,
) -> None:
    """Both tables from top to bottom: rows without a partner are weighed against those in the same place."""
    at = 1
    gone: list[int] = []

    def close(upto: int) -> None:
        nonlocal at
        fresh = [number for number in range(at, upto) if not taken[number]]
        for pair in _paired(before, after, common, gone, fresh):
            found.before.append(pair[0])
            found.after.append(pair[1])
        gone.clear()
        at = max(at, upto)

    for number in range(1, len(before) + 1):
        partner = matches[number]
        if partner == NONE:
            gone.append(number)
            continue
        if partner >= at:
            close(partner)
            at = partner + 1
        if not same[number]:
            found.before.append(number)
            found.after.append(partner)
    close(len(after) + 1)


def _paired(
    before: Table, after: Table, common: Sequence[str], gone: Sequence[int], fresh: Sequence[int]
) -> list[tuple[int, int]]:
    """Rows of one place: changed where they are alike, else removed or added."""
    if not gone or not fresh or not common:
        return [*((number, NONE) for number in gone), *((NONE, number) for number in fresh)]
    if len(gone) * len(fresh) > MOST_WEIGHED or len(gone) == len(fresh):
        pairs = list(zip(gone, fresh, strict=False))
    else:
        pairs = _most_alike(before, after, common, gone, fresh)
    partner = dict(pairs)
    ends = set(partner.values())
    made = [(number, partner.get(number, NONE)) for number in gone]
    return [*made, *((NONE, number) for number in fresh if number not in ends)]


def _most_alike(
    before: Table, after: Table, common: Sequence[str], gone: Sequence[int], fresh: Sequence[int]
) -> list[tuple[int, int]]:
    old = {number: before.row(number) for number in gone}
    new = {number: after.row(number) for number in fresh}
    weighed = sorted(
        (-sum(one[column] == other[column] and not is_blank(one[column]) for column in common), a, b)
        for a, one in old.items()
        for b, other in new.items()
    )
    pairs: dict[int, int] = {}
    ends: set[int] = set()
    for weight, a, b in weighed:
        if weight and a not in pairs and b not in ends:
            pairs[a] = b
            ends.add(b)
    return sorted(pairs.items())
