"""A table of numbered rows, in memory or on disk.

A table can be read many times, and need not fit into memory: its source yields values from any row on. A line that
could not be read keeps its row number, and all its values are None.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

from studio.schema.dataset import AS_FOUND, BadLine, Reading
from studio.schema.errors import StudioError

Row = dict[str, Any]
"""Column → value, as in the file."""
Cells = Mapping[int, Mapping[str, Any]]
"""Row number → column → new value."""
PLACES = 4
"""Number of places in a table from which a sample is taken."""


class Source(Protocol):
    """Where the values of a table are stored."""

    shareable: bool
    """Another process can open this source, so that rows need not be sent to it."""

    def __len__(self) -> int: ...

    def values(self, start: int) -> Iterator[Sequence[Any]]:
        """Yield the values of each row in column order, from row number `start` (counted from 1) on."""


@dataclass(frozen=True)
class TableInfo:
    """How the rows of a table were read."""

    format: str
    encoding: str = ""
    delimiter: str = ""
    notes: tuple[str, ...] = ()
    bad_lines: tuple[BadLine, ...] = ()
    detected: Reading = AS_FOUND
    sheets: tuple[str, ...] = ()


class Table:
    """Columns, rows numbered from 1, and notes from reading them."""

    def __init__(self, columns: Sequence[str], source: Source, info: TableInfo) -> None:
        self.columns, self.source, self.info = tuple(columns), source, info
        self.format, self.encoding, self.delimiter = info.format, info.encoding, info.delimiter
        self.notes, self.bad_lines = info.notes, info.bad_lines
        self.detected, self.sheets = info.detected, info.sheets

    @cached_property
    def bad_rows(self) -> frozenset[int]:
        """Row numbers of the lines that could not be read."""
        return frozenset(bad.row for bad in self.bad_lines)

    def __len__(self) -> int:
        return len(self.source)

    def numbered(self, start: int = 1, count: int | None = None) -> Iterator[tuple[int, Row]]:
        """Yield row numbers and rows, including bad ones."""
        columns = self.columns
        values = self.source.values(max(1, start))
        if count is not None:
            values = islice(values, max(0, count))
        for number, row in enumerate(values, max(1, start)):
            yield number, dict(zip(columns, row, strict=True))

    def rows(self, start: int = 1, count: int | None = None) -> list[Row]:
        """Return one page of rows."""
        return [row for _, row in self.numbered(start, count)]

    def row(self, number: int) -> Row:
        """Return one row. Raise `StudioError` if the number does not exist."""
        last = len(self)
        if not 1 <= number <= last:
            raise StudioError("no-such-row", f"There is no row {number}.", valid=f"1 to {last}", field="row")
        return self.rows(number, 1)[0]

    def sample(self, count: int = 200) -> list[Row]:
        """Return up to about `count` readable rows from several places, because files are often sorted."""
        bad, rows = self.bad_rows, len(self)
        places = PLACES if rows > count else 1
        piece = max(1, count // places)
        starts = [1 + (rows - piece) * place // (places - 1) for place in range(places)] if places > 1 else [1]
        return [row for start in starts for number, row in self.numbered(start, piece) if number not in bad]


def even_sample(rows: Sequence[int], size: int) -> list[int]:
    """Return at most `size` of the row numbers, evenly spread."""
    if len(rows) <= size:
        return list(rows)
    return [rows[place * len(rows) // size] for place in range(size)]


class _Changed:
    """The values of another table with rows removed and cells changed."""

    shareable = False

    def __init__(self, table: Table, columns: Sequence[str], removed: Sequence[int], cells: Cells) -> None:
        self.table, self.columns, self.removed, self.cells = table, columns, removed, cells

    def __len__(self) -> int:
        return len(self.table) - len(self.removed)

    def values(self, start: int) -> Iterator[Sequence[Any]]:
        removed_set, columns, cells = set(self.removed), self.columns, self.cells
        for number, row in self.table.numbered(self._old_number(start)):
            if number in removed_set:
                continue
            row.update(cells.get(number, {}))
            yield [row.get(column) for column in columns]

    def _old_number(self, new: int) -> int:
        """Return the number that a row had before rows above it were removed."""
        position = new
        while (next_position := new + bisect_left(self.removed, position + 1)) != position:
            position = next_position
        return position


def changed(table: Table, *, remove: Collection[int] = (), values: Cells | None = None, note: str = "") -> Table:
    """Return the table with rows removed and cells changed. Rows after a removed one move up.

    A bad line disappears when its row is removed, and is no longer bad when one of its cells is set.
    """
    cells: Cells = values or {}
    removed = sorted({number for number in remove if 1 <= number <= len(table)})
    new = {column: None for cell in cells.values() for column in cell if column not in table.columns}
    columns = (*table.columns, *new)
    removed_set = set(removed)
    bad_lines = tuple(
        bad.model_copy(update={"row": bad.row - bisect_left(removed, bad.row)})
        for bad in table.bad_lines
        if bad.row not in removed_set and bad.row not in cells
    )
    notes = (*table.notes, *([note] if note else []))
    info = replace(table.info, notes=notes, bad_lines=bad_lines)
    return Table(columns, _Changed(table, columns, removed, cells), info)
