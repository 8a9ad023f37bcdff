"""Rows in memory: the last ones as Python objects, all others as Arrow columns. 200 MB of CSV take about 200 MB.

Text stays text. If a column of a block holds anything else (numbers, lists, messages), its values are stored as JSON,
so that they come back unchanged. `parquet_store` writes the same blocks to disk.
"""

import json
from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import accumulate, repeat
from math import inf
from typing import TYPE_CHECKING, Any, NoReturn

from studio.data import progress
from studio.data.limits import HARD, LONGEST_NAME, NAME, ReadLimits, too_deep
from studio.data.phrases import short
from studio.data.table import Table, TableInfo
from studio.schema.dataset import BadLine, Reading
from studio.schema.errors import StudioError
from studio.schema.numbers import plural

if TYPE_CHECKING:
    import pyarrow

BLOCK = 10_000
"""Maximum number of rows in a block."""
BLOCK_CHARACTERS = 8_000_000
"""Number of characters from which a block is full, whatever its number of rows."""
NOTED_NAMES = 10
"""Number of renamed columns that get a note each."""
_CELL_BYTES = 4
"""Bytes of a packed cell besides its text."""
SLICE = 500
"""Number of rows to unpack at once. A page of twelve rows must not unpack ten thousand."""
MANY_COLUMNS = 500
"""From this number of columns on, rows that share few columns are refused. They are probably a lookup table."""
_TEXTS = frozenset((str, type(None)))
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode
Packed = tuple["pyarrow.RecordBatch", frozenset[str]]
"""String columns, and the names of those whose strings are JSON."""


def pack(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], limits: ReadLimits = HARD, name: str = "", start: int = 1
) -> Packed:
    """Return the rows as Arrow columns. Rows can be shorter than `columns`; the missing values are null.

    `name` and `start` are for error messages: the table, and the number of the first row. Raise `StudioError` for
    values that exceed the limits.
    """
    import pyarrow

    # use a builder, because pyarrow.array() imports pandas to inspect its input
    arrays, as_json = [], set()
    for column, values in zip(columns, _transposed(rows, len(columns)), strict=True):
        if not _TEXTS.issuperset(map(type, values)):
            as_json.add(column)
            values = _as_json(values, name, start)
            limits.check_json(name, start, column, values)
        builder = pyarrow.lib.StringBuilder()
        builder.append_values(values)
        arrays.append(builder.finish())
    return pyarrow.RecordBatch.from_arrays(arrays, names=list(columns)), frozenset(as_json)


def _as_json(values: Iterable[Any], name: str, start: int) -> list[str | None]:
    texts: list[str | None] = []
    try:
        texts.extend(None if value is None else _ENCODE(value) for value in values)
    except RecursionError:
        raise too_deep(name, start + len(texts)) from None
    return texts


def _transposed(rows: Sequence[Sequence[Any]], width: int) -> Iterable[Sequence[Any]]:
    """Yield the values of each column."""
    if all(len(row) == width for row in rows):
        return zip(*rows, strict=True)
    return ([row[index] if index < len(row) else None for row in rows] for index in range(width))


def unpack(batch: "pyarrow.RecordBatch", as_json: frozenset[str], columns: Sequence[str]) -> Iterator[Sequence[Any]]:
    """Yield the rows of a packed block, with None for columns that it lacks."""
    present = set(batch.schema.names)
    lists: list[Iterable[Any]] = []
    for column in columns:
        if column not in present:
            lists.append(repeat(None, batch.num_rows))
            continue
        values = batch.column(column).to_pylist()
        if column in as_json:
            values = [None if value is None else json.loads(value) for value in values]
        lists.append(values)
    return zip(*lists, strict=True)


class BlockMeter:
    """Checks each row against the limits, and determines when a block of rows is full."""

    def __init__(self, name: str, limits: ReadLimits) -> None:
        self.name, self.limits = name, limits
        self.most_rows, self.most_bytes = limits.rows or inf, limits.decoded_bytes or inf
        self.rows = self.characters = self.before = self.decoded = 0
        """rows, characters: of the current block. before: rows before the block. decoded: bytes of the whole table."""

    def full(self, row: Sequence[Any], columns: Sequence[str]) -> bool:
        """Add a row. Return whether it completes the block; then a new block begins."""
        self.rows += 1
        number = self.before + self.rows
        size = self.limits.size_of(row, columns, self.name, number)
        self.characters += size
        self.decoded += size + _CELL_BYTES * len(row)
        if number > self.most_rows:
            self.limits.check_rows(self.name, number)
        if self.decoded > self.most_bytes:
            self.limits.check_decoded(self.name, self.decoded)
        if self.rows < BLOCK and self.characters < BLOCK_CHARACTERS:
            return False
        self.before, self.rows, self.characters = number, 0, 0
        return True


def blocks_of(
    values: Iterable[Sequence[Any]], columns: Sequence[str], name: str, limits: ReadLimits
) -> Iterator[list[Sequence[Any]]]:
    """Yield lists of rows that are packed together."""
    meter, block = BlockMeter(name, limits), []
    for row in values:
        block.append(row)
        if meter.full(row, columns):
            yield block
            block = []
    if block:
        yield block


class _InMemory:
    """Packed blocks of rows, and the unpacked rows after them."""

    shareable = False

    def __init__(self, columns: Sequence[str], blocks: Sequence[Packed], rest: Sequence[Sequence[Any]]) -> None:
        self.columns, self.blocks, self.rest = columns, blocks, rest
        self.ends = list(accumulate(batch.num_rows for batch, _ in blocks))

    @property
    def packed(self) -> int:
        """Number of rows in the blocks."""
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


def packed(table: Table, limits: ReadLimits = HARD) -> Iterator[Packed]:
    """Yield all rows of a table in packed blocks with all of its columns. Blocks that exist are reused."""
    source, columns = table.source, table.columns
    if isinstance(source, _InMemory):
        yield from (_with_columns(batch, columns, as_json) for batch, as_json in source.blocks)
        rest: Iterable[Sequence[Any]] = source.rest
    else:
        rest = source.values(1)
    start = 1 + len(table) - (len(source.rest) if isinstance(source, _InMemory) else len(table))
    for block in blocks_of(rest, columns, "The new version", limits):
        yield pack(columns, block, limits, "The new version", start)
        start += len(block)


def _with_columns(batch: "pyarrow.RecordBatch", columns: Sequence[str], as_json: frozenset[str]) -> Packed:
    """Add columns that appeared after the block, with null values."""
    import pyarrow

    missing_columns = [pyarrow.nulls(batch.num_rows, pyarrow.string())] * (len(columns) - batch.num_columns)
    return pyarrow.RecordBatch.from_arrays([*batch.columns, *missing_columns], names=list(columns)), as_json


class Builder:
    """Collects rows from a reader and builds the table."""

    def __init__(
        self, name: str, format: str, limits: ReadLimits = HARD, *, encoding: str = "", delimiter: str = ""
    ) -> None:
        self.name, self.format, self.encoding, self.delimiter = name, format, encoding, delimiter
        self.limits = limits
        self.notes: list[str] = []
        self.bad_lines: list[BadLine] = []
        self.detected: dict[str, Any] = {}
        """How the file was read: fields of `Reading`."""
        self.sheets: list[str] = []
        self._indices: dict[str, int] = {}
        """Column name in the file → index of the column."""
        self._columns: list[str] = []
        self._taken: set[str] = set()
        """Names in use: those of the columns, and later ones in the file's header."""
        self._numbers: dict[str, int] = {}
        """Name → next number that makes it unique."""
        self._renamed = self._shortened = 0
        self._blocks: list[Packed] = []
        self._rows: list[Sequence[Any]] = []
        self._packed, self._meter = 0, BlockMeter(name, limits)

    @property
    def count(self) -> int:
        """Number of rows so far."""
        return self._packed + len(self._rows)

    @property
    def good(self) -> int:
        """Number of readable rows so far."""
        return self.count - len(self.bad_lines)

    def set_columns(self, names: Sequence[Any]) -> None:
        """Set the columns of a format with a header. Empty and repeated names are changed, with a note."""
        self.limits.check_columns(self.name, len(names))
        stripped = ["" if name is None else str(name).strip() for name in names]
        header = set(stripped)
        for index, name in enumerate(stripped):
            if not name:
                name = self._unique_name(f"column {index + 1}", self._indices)
                self._note_name(f"Column {index + 1} has no name. It is now called {name}.")
            elif name in self._indices:
                taken, name = name, self._unique_name(name, header)
                self._note_name(f"Two columns are called {short(taken)}. The later one is now called {short(name)}.")
            self._ensure_column(name)

    def add(self, values: Sequence[Any]) -> None:
        """Add a row with values in the order of the columns."""
        self._rows.append(values)
        if self._meter.full(values, self._columns):
            self._blocks.append(pack(self._columns, self._rows, self.limits, self.name, self._packed + 1))
            self._packed += len(self._rows)
            progress.advance(rows=len(self._rows))
            self._rows = []

    def add_object(self, item: dict[str, Any]) -> None:
        """Add a row as an object. New keys become columns."""
        indices = self._indices
        if item.keys() - indices.keys():
            for key in item:
                self._ensure_column(key)
            if len(indices) > MANY_COLUMNS and len(item) * 10 < len(indices):
                self._refuse_columns()
        values: list[Any] = [None] * len(indices)
        for key, value in item.items():
            values[indices[key]] = value
        self.add(values)

    def add_bad(self, line: int, why: str) -> None:
        """Add a line that can't be read. It keeps its row number."""
        self.bad_lines.append(BadLine(line=line, why=why, row=self.count + 1))
        self.add([])

    def _ensure_column(self, name: str) -> None:
        """Add a column for this name, unless there is one."""
        if name in self._indices:
            return
        self._indices[name] = len(self._columns)
        self.limits.check_columns(self.name, len(self._indices))
        column = name
        if len(name) > NAME:
            self._require_name(name)
            self._shortened += 1
            column = f"{name[: NAME - 10].rstrip()}…"
        column = self._unique_name(column, self._taken)
        self._taken.add(column)
        self._columns.append(column)

    def _require_name(self, name: str) -> None:
        """Raise `StudioError` for text that is too long to be a name."""
        if len(name) > LONGEST_NAME:
            raise StudioError(
                "too-large",
                f"The name of column {len(self._indices):,} of {self.name} is too long.",
                given=f"{len(name):,} characters: {short(name)}",
                valid=f"at most {LONGEST_NAME:,} characters (names over {NAME:,} are shortened)",
                hint="If the first line is a row, add a line with column names above it. Otherwise shorten the name.",
            )

    def _unique_name(self, name: str, *taken: Container[str]) -> str:
        """Return `name`, or the first of `name (2)`, `name (3)` … that is not in use."""
        free, number = name, self._numbers.get(name, 2)
        while any(free in names for names in taken):
            free, number = f"{name} ({number})", number + 1
            self._numbers[name] = number
        return free

    def _note_name(self, note: str) -> None:
        self._renamed += 1
        if self._renamed <= NOTED_NAMES:
            self.notes.append(note)

    def _refuse_columns(self) -> NoReturn:
        raise StudioError(
            "unreadable-file",
            f"{self.name} has more than {MANY_COLUMNS:,} columns, and each row has only a few of them.",
            hint="Each row should be one example, with the same few columns in every row.",
        )

    def table(self) -> Table:
        """Return the table. Raise `StudioError` if there are no rows, or none is readable."""
        if not self.count:
            hint = "Import a file with at least 8 rows."
            raise StudioError("empty-data", f"{self.name} has no rows.", hint=hint)
        if not self.good:
            first = self.bad_lines[0]
            why = first.why.rstrip(".")
            raise StudioError(
                "unreadable-file",
                f"No line of {self.name} can be read as {self.format}.",
                given=f"line {first.line}: {why}",
                hint="Check that the file's format matches its name.",
            )
        for column, values in zip(self._columns, _transposed(self._rows, len(self._columns)), strict=False):
            if any(isinstance(value, list | dict) for value in values):
                texts = _as_json(values, self.name, self._packed + 1)
                self.limits.check_json(self.name, self._packed + 1, column, texts)
        columns = list(self._columns)
        if self._renamed > NOTED_NAMES:
            self.notes.append(
                plural(
                    self._renamed - NOTED_NAMES,
                    "{n} more column had no name or a repeated name.",
                    "{n} more columns had no name or a repeated name.",
                )
            )
        if self._shortened:
            self.notes.append(
                plural(
                    self._shortened,
                    "{n} column name was shortened to {most} characters.",
                    "{n} column names were shortened to {most} characters.",
                    most=f"{NAME:,}",
                )
            )
        known = {"delimiter": self.delimiter, "encoding": self.encoding.removesuffix("-sig")}
        detected = Reading(**{name: value for name, value in known.items() if value} | self.detected)
        info = TableInfo(
            self.format,
            self.encoding,
            self.delimiter,
            tuple(self.notes),
            tuple(self.bad_lines),
            detected,
            tuple(self.sheets),
        )
        return Table(columns, _InMemory(columns, self._blocks, self._rows), info)
