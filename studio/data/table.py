"""A table: rows by number, wherever they lie. It knows no file format and no role.

A table is read as often as wanted and never has to be in memory as a whole: its source gives values from any row on.
A line that could not be read keeps its row number; its row holds nothing but None.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

from studio.schema.dataset import AS_FOUND, BadLine, Reading
from studio.schema.errors import StudioError

Row = dict[str, Any]
"""Column → value, as the file brought it."""
Cells = Mapping[int, Mapping[str, Any]]
"""Row number → column → new value."""
PLACES = 4
"""Places of a table that a sample is taken from."""


class Source(Protocol):
    """Where the values of a table lie."""

    travels: bool
    """Whether another process can be told where that is, instead of getting every row."""

    def __len__(self) -> int: ...

    def values(self, start: int) -> Iterator[Sequence[Any]]:
        """The values of each row in the order of the columns, from row number `start` (from 1) on."""
        ...


class Table:
    """Columns, rows by number from 1, and what was noticed when they were read."""

    def __init__(
        self,
        columns: Sequence[str],
        source: Source,
        *,
        format: str,
        encoding: str = "",
        delimiter: str = "",
        notes: Sequence[str] = (),
        bad_lines: Sequence[BadLine] = (),
        found: Reading = AS_FOUND,
        sheets: Sequence[str] = (),
    ) -> None:
        self.columns = tuple(columns)
        self.found, self.sheets = found, tuple(sheets)
        self.source = source
        self.format, self.encoding, self.delimiter = format, encoding, delimiter
        self.notes = tuple(notes)
        self.bad_lines = tuple(bad_lines)

    @cached_property
    def bad_rows(self) -> frozenset[int]:
        """Row numbers of the lines that could not be read."""
        return frozenset(bad.row for bad in self.bad_lines)

    def __len__(self) -> int:
        return len(self.source)

    def numbered(self, start: int = 1, count: int | None = None) -> Iterator[tuple[int, Row]]:
        """Row numbers with their rows, bad ones included."""
        columns = self.columns
        values = self.source.values(max(1, start))
        if count is not None:
            values = islice(values, max(0, count))
        for number, row in enumerate(values, max(1, start)):
            yield number, dict(zip(columns, row, strict=True))

    def rows(self, start: int = 1, count: int | None = None) -> list[Row]:
        """One page of rows."""
        return [row for _, row in self.numbered(start, count)]

    def row(self, number: int) -> Row:
        """The row of that number."""
        if not 1 <= number <= len(self):
            raise StudioError("no-such-row", f"There is no row {number}.", valid=f"1 to {len(self)}", field="row")
        return self.rows(number, 1)[0]

    def sample(self, count: int = 200) -> list[Row]:
        """Some rows that could be read, to guess from: taken at several places, since files are often sorted."""
        bad, rows = self.bad_rows, len(self)
        places = PLACES if rows > count else 1
        piece = max(1, count // places)
        starts = [1 + (rows - piece) * place // (places - 1) for place in range(places)] if places > 1 else [1]
        return [row for start in starts for number, row in self.numbered(start, piece) if number not in bad]


class _Changed:
    """The values of another table without some rows and with some cells set."""

    travels = False

    def __init__(self, table: Table, columns: Sequence[str], removed: Sequence[int], cells: Cells) -> None:
        self.table, self.columns, self.removed, self.cells = table, columns, removed, cells

    def __len__(self) -> int:
        return len(self.table) - len(self.removed)

    def values(self, start: int) -> Iterator[Sequence[Any]]:
        gone, columns, cells = set(self.removed), self.columns, self.cells
        for number, row in self.table.numbered(self._old_number(start)):
            if number in gone:
                continue
            row.update(cells.get(number, {}))
            yield [row.get(column) for column in columns]

    def _old_number(self, new: int) -> int:
        """The number that a row had before the rows above it were removed."""
        old = new
        while (moved := new + bisect_left(self.removed, old + 1)) != old:
            old = moved
        return old


def changed(table: Table, *, remove: Collection[int] = (), values: Cells | None = None, note: str = "") -> Table:
    """The table without some rows and with some cells set; rows that follow a removed one move up.

    A bad line is gone when its row is removed, and no longer bad when one of its cells is set.
    """
    cells: Cells = values or {}
    removed = sorted({number for number in remove if 1 <= number <= len(table)})
    new = {column: None for cell in cells.values() for column in cell if column not in table.columns}
    columns = (*table.columns, *new)
    gone = set(removed)
    bad_lines = [
        bad.model_copy(update={"row": bad.row - bisect_left(removed, bad.row)})
        for bad in table.bad_lines
        if bad.row not in gone and bad.row not in cells
    ]
    return Table(
        columns,
        _Changed(table, columns, removed, cells),
        format=table.format,
        encoding=table.encoding,
        delimiter=table.delimiter,
        notes=(*table.notes, *([note] if note else [])),
        bad_lines=bad_lines,
    )
