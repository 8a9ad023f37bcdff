"""Difference of two tables: which rows were added, removed or changed, and in which cells.

Equal rows are matched first, in order. Rows between two matches are paired by similarity. So a row is recognized when
rows above it were removed.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from studio.data.table import Row, Table
from studio.data.values import is_blank

MAX_COMPARED = 40_000
"""Maximum number of row pairs in one place to compare. With more, rows are paired in order."""
NONE = 0
"""Stands for no row: row numbers begin at 1."""


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
    old, new = before.columns, after.columns
    common = [column for column in old if column in new]
    every = [*old, *(column for column in new if column not in old)]
    difference = Difference(
        tuple(column for column in new if column not in old), tuple(column for column in old if column not in new)
    )
    matches = array("Q", bytes(8 * (len(before) + 1)))
    taken = bytearray(len(after) + 1)
    same = bytearray(len(before) + 1)
    _match(before, after, every, matches, taken, lambda number: same.__setitem__(number, 1))
    if common and len(common) < len(every):
        _match(before, after, common, matches, taken)
    difference.same = sum(same)
    _walk(before, after, common, matches, taken, same, difference)
    return difference


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


def _match(
    before: Table,
    after: Table,
    columns: Sequence[str],
    matches: "array[int]",
    taken: bytearray,
    on_match: Callable[[int], None] = lambda number: None,
) -> None:
    """Match rows that are equal in some columns and have no match yet."""
    unmatched: dict[int, list[int]] = {}
    for number, key in enumerate(_keys(after, columns), 1):
        if not taken[number]:
            unmatched.setdefault(key, []).append(number)
    for queue in unmatched.values():
        queue.reverse()
    for number, key in enumerate(_keys(before, columns), 1):
        if matches[number] == NONE and (queue := unmatched.get(key)):  # type: ignore[assignment]
            matches[number] = queue.pop()
            taken[matches[number]] = 1
            on_match(number)


def _walk(
    before: Table,
    after: Table,
    common: Sequence[str],
    matches: "array[int]",
    taken: bytearray,
    same: bytearray,
    difference: Difference,
) -> None:
    """Walk through both tables. Unmatched rows are compared with those in the same place."""
    position = 1
    removed: list[int] = []

    def close(upto: int) -> None:
        nonlocal position
        added = [number for number in range(position, upto) if not taken[number]]
        for pair in _paired(before, after, common, removed, added):
            difference.before.append(pair[0])
            difference.after.append(pair[1])
        removed.clear()
        position = max(position, upto)

    for number in range(1, len(before) + 1):
        partner = matches[number]
        if partner == NONE:
            removed.append(number)
            continue
        if partner >= position:
            close(partner)
            position = partner + 1
        if not same[number]:
            difference.before.append(number)
            difference.after.append(partner)
    close(len(after) + 1)


def _paired(
    before: Table, after: Table, common: Sequence[str], removed: Sequence[int], added: Sequence[int]
) -> list[tuple[int, int]]:
    """Pair rows of one place: changed if they are similar, else removed or added."""
    if not removed or not added or not common:
        return [*((number, NONE) for number in removed), *((NONE, number) for number in added)]
    if len(removed) * len(added) > MAX_COMPARED or len(removed) == len(added):
        pairs = list(zip(removed, added, strict=False))
    else:
        pairs = _most_alike(before, after, common, removed, added)
    partner = dict(pairs)
    matched = set(partner.values())
    removed_or_changed = [(number, partner.get(number, NONE)) for number in removed]
    return [*removed_or_changed, *((NONE, number) for number in added if number not in matched)]


def _most_alike(
    before: Table, after: Table, common: Sequence[str], removed: Sequence[int], added: Sequence[int]
) -> list[tuple[int, int]]:
    old = {number: before.row(number) for number in removed}
    new = {number: after.row(number) for number in added}
    scored = sorted(
        (-sum(one[column] == other[column] and not is_blank(one[column]) for column in common), a, b)
        for a, one in old.items()
        for b, other in new.items()
    )
    pairs: dict[int, int] = {}
    matched: set[int] = set()
    for score, a, b in scored:
        if score and a not in pairs and b not in matched:
            pairs[a] = b
            matched.add(b)
    return sorted(pairs.items())
