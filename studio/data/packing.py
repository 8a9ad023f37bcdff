"""Rows in memory, packed: a few as Python objects, many as Arrow columns, so that 200 MB of CSV take no more than that.

Text is kept as text. A column of a block that holds anything else (numbers, lists, turns of a conversation) is kept
as JSON, so that every value comes back as it was. The same packing is what `kept` writes to disk.
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, repeat
from typing import TYPE_CHECKING, Any, NoReturn

from studio.data import progress
from studio.data.table import Table
from studio.schema.dataset import BadLine, Reading
from studio.schema.errors import StudioError

if TYPE_CHECKING:
    import pyarrow

BLOCK = 10_000
"""Rows packed together, at most."""
BLOCK_CHARACTERS = 8_000_000
"""Characters from which a block is full whatever its rows, about: each sixteenth row is measured."""
_MEASURED = 16
SLICE = 500
"""Rows unpacked at once: a page of twelve must not unpack ten thousand."""
MOST_COLUMNS = 10_000
MANY_COLUMNS = 500
"""From here on, rows that share few columns are refused: keys of a lookup table, most likely."""
_TEXTS = frozenset((str, type(None)))
Packed = tuple["pyarrow.RecordBatch", frozenset[str]]
"""Columns of strings, and the names of those whose strings are JSON."""


def pack(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Packed:
    """Rows as Arrow columns; rows may be shorter than the columns."""
    import pyarrow

    # a builder, since pyarrow.array() imports pandas to look at what it is given
    arrays, as_json = [], set()
    for column, values in zip(columns, _turned(rows, len(columns)), strict=True):
        if not _TEXTS.issuperset(map(type, values)):
            as_json.add(column)
            values = [None if value is None else json.dumps(value, ensure_ascii=False) for value in values]
        builder = pyarrow.lib.StringBuilder()
        builder.append_values(values)
        arrays.append(builder.finish())
    return pyarrow.RecordBatch.from_arrays(arrays, names=list(columns)), frozenset(as_json)


def _turned(rows: Sequence[Sequence[Any]], width: int) -> Iterable[Sequence[Any]]:
    """The values of each column."""
    if all(len(row) == width for row in rows):
        return zip(*rows, strict=True)
    return ([row[index] if index < len(row) else None for row in rows] for index in range(width))


def unpack(batch: "pyarrow.RecordBatch", as_json: frozenset[str], columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    """The rows of a packed block, with None for columns that it lacks."""
    there = set(batch.schema.names)
    lists: list[Iterable[Any]] = []
    for column in columns:
        if column not in there:
            lists.append(repeat(None, batch.num_rows))
            continue
        values = batch.column(column).to_pylist()
        if column in as_json:
            values = [None if value is None else json.loads(value) for value in values]
        lists.append(values)
    return zip(*lists, strict=True)


class Filling:
    """Counts how full a block of rows is."""

    def __init__(self) -> None:
        self.rows = self.characters = 0

    def full(self, row: Sequence[Any]) -> bool:
        """Whether this row is the last one that the block takes; then the next block begins."""
        self.rows += 1
        if self.rows % _MEASURED == 0:
            self.characters += _MEASURED * sum(len(value) for value in row if isinstance(value, str | list))
        if self.rows < BLOCK and self.characters < BLOCK_CHARACTERS:
            return False
        self.rows = self.characters = 0
        return True


def blocks_of(values: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    """Rows in blocks that are packed together."""
    filling, block = Filling(), []
    for row in values:
        block.append(row)
        if filling.full(row):
            yield block
            block = []
    if block:
        yield block


class _InMemory:
    """Packed blocks of rows, and the rows of the last one."""

    travels = False

    def __init__(self, columns: Sequence[str], blocks: Sequence[Packed], rest: Sequence[Sequence[Any]]) -> None:
        self.columns, self.blocks, self.rest = columns, blocks, rest
        self.ends = list(accumulate(batch.num_rows for batch, _ in blocks))

    @property
    def packed(self) -> int:
        """Rows in the blocks."""
        return self.ends[-1] if self.ends else 0

    def __len__(self) -> int:
        return self.packed + len(self.rest)

    def values(self, start: int) -> Iterator[Sequence[Any]]:
        first = bisect_right(self.ends, start - 1)
        skip = start - 1 - (self.ends[first - 1] if first else 0)
        for batch, as_json in self.blocks[first:]:
            for at in range(skip, batch.num_rows, SLICE):
                yield from unpack(batch.slice(at, SLICE), as_json, self.columns)
            skip = 0
        width = len(self.columns)
        for row in self.rest[max(0, start - 1 - self.packed) :]:
            yield row if len(row) == width else [*row, *repeat(None, width - len(row))]


def packed(table: Table) -> Iterator[Packed]:
    """All rows of a table in blocks with all of its columns: as they are packed already, where they are."""
    source, columns = table.source, table.columns
    if isinstance(source, _InMemory):
        yield from (_widened(batch, columns, as_json) for batch, as_json in source.blocks)
        left: Iterable[Sequence[Any]] = source.rest
    else:
        left = source.values(1)
    for block in blocks_of(left):
        yield pack(columns, block)


def _widened(batch: "pyarrow.RecordBatch", columns: Sequence[str], as_json: frozenset[str]) -> Packed:
    """A block with the columns that came up after it."""
    import pyarrow

    nothing = [pyarrow.nulls(batch.num_rows, pyarrow.string())] * (len(columns) - batch.num_columns)
    return pyarrow.RecordBatch.from_arrays([*batch.columns, *nothing], names=list(columns)), as_json


class Builder:
    """Takes rows one after another, as a reader finds them, and makes the table."""

    def __init__(self, name: str, format: str, *, encoding: str = "", delimiter: str = "") -> None:
        self.name, self.format, self.encoding, self.delimiter = name, format, encoding, delimiter
        self.notes: list[str] = []
        self.bad_lines: list[BadLine] = []
        self.found: dict[str, Any] = {}
        """How the file was read, as `Reading` has it."""
        self.sheets: list[str] = []
        self._places: dict[str, int] = {}
        self._blocks: list[Packed] = []
        self._rows: list[Sequence[Any]] = []
        self._packed, self._filling = 0, Filling()
        self._empty_key: str | None = None

    @property
    def count(self) -> int:
        """Rows so far."""
        return self._packed + len(self._rows)

    @property
    def good(self) -> int:
        """Rows so far that could be read."""
        return self.count - len(self.bad_lines)

    def set_columns(self, names: Sequence[Any]) -> None:
        """Name the columns of a format with a header; an empty or repeated name is changed, and said."""
        for index, given in enumerate(names):
            name = str(given).strip() if given is not None else ""
            if not name:
                name = _free(f"column {index + 1}", self._places)
                self.notes.append(f"Column {index + 1} has no name and is called {name}.")
            elif name in self._places:
                taken, name = name, _free(name, self._places, names)
                self.notes.append(f"There are two columns {taken}: the later one is called {name}.")
            self._place(name)

    def add(self, values: Sequence[Any]) -> None:
        """A row in the order of the columns."""
        self._rows.append(values)
        if self._filling.full(values):
            self._blocks.append(pack(list(self._places), self._rows))
            self._packed += len(self._rows)
            progress.tell(rows=len(self._rows))
            self._rows = []

    def add_object(self, item: dict[str, Any]) -> None:
        """A row as an object; keys that were not seen before become columns."""
        places = self._places
        if item.keys() - places.keys():
            for key in item:
                self._place(key)
            if len(places) > MANY_COLUMNS and len(item) * 10 < len(places):
                self._refuse_columns(f"more than {MANY_COLUMNS:,} columns, and each row has only a few of them")
        values: list[Any] = [None] * len(places)
        for key, value in item.items():
            values[places[key]] = value
        self.add(values)

    def add_bad(self, line: int, why: str) -> None:
        """A line that can't be read: it keeps its place among the rows."""
        self.bad_lines.append(BadLine(line=line, why=why, row=self.count + 1))
        self.add([])

    def _place(self, name: str) -> None:
        self._places.setdefault(name, len(self._places))
        if len(self._places) > MOST_COLUMNS:
            self._refuse_columns(f"more than {MOST_COLUMNS:,} columns")

    def _refuse_columns(self, what: str) -> NoReturn:
        raise StudioError(
            "unreadable-file",
            f"{self.name} has {what}.",
            hint="Each row should be one example, with the same few columns in every row.",
        )

    def table(self) -> Table:
        """The table; refused when no line could be read, or there is none."""
        if not self.count:
            hint = "Bring a file with at least 8 rows."
            raise StudioError("empty-data", f"{self.name} holds no row.", hint=hint)
        if not self.good:
            first = self.bad_lines[0]
            raise StudioError(
                "unreadable-file",
                f"No line of {self.name} can be read as {self.format}.",
                given=f"line {first.line}: {first.why.rstrip('.')}",
                hint="Check that the file is of the kind that its name says.",
            )
        columns = list(self._places)
        return Table(
            columns,
            _InMemory(columns, self._blocks, self._rows),
            format=self.format,
            encoding=self.encoding,
            delimiter=self.delimiter,
            notes=self.notes,
            bad_lines=self.bad_lines,
            found=Reading(**self._found()),
            sheets=self.sheets,
        )

    def _found(self) -> dict[str, Any]:
        known = {"delimiter": self.delimiter, "encoding": self.encoding.removesuffix("-sig")}
        return {**{name: value for name, value in known.items() if value}, **self.found}


def _free(name: str, *taken: Iterable[Any]) -> str:
    """`name`, or the first of `name (2)`, `name (3)` … that is not taken."""
    used = {str(each).strip() for names in taken for each in names}
    if name not in used:
        return name
    number = 2
    while f"{name} ({number})" in used:
        number += 1
    return f"{name} ({number})"
