"""Files with all rows of a table, in the format of the file's extension. Rows are read and written some at a time."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.data.table import Table
from studio.data.text_lines import as_json, csv_lines, flat, jsonl_lines
from studio.schema.errors import StudioError

if TYPE_CHECKING:
    import pyarrow

GROUP = 10_000
"""Rows of a row group in a Parquet file."""
SHEET_ROWS = 1_048_576
"""Maximum rows of a sheet in a workbook, the header included."""
CELL = 32_767
"""Maximum characters of a cell in a workbook."""


def write_rows(table: Table, path: Path) -> None:
    """Write all rows. The file is complete, or is not there: an earlier one is replaced at the end.

    Raises:
        StudioError: as `require_writable`, and for more rows than the format can hold.
    """
    write = require_writable(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        write(table, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def require_writable(path: Path) -> Callable[[Table, Path], None]:
    """Return the writer for a file's extension. Raise `StudioError` for another extension or a missing folder."""
    if path.suffix.lower() not in WRITERS:
        raise StudioError(
            "unknown-format",
            "Predictions can't be written in this format.",
            given=path.suffix or path.name,
            valid=list(WRITERS),
            field="out",
        )
    if not path.parent.is_dir():
        raise StudioError(
            "unknown-format",
            "The folder of the output file does not exist.",
            given=path.parent,
            field="out",
            hint="Create the folder, or choose another one.",
        )
    return WRITERS[path.suffix.lower()]


def _text(lines: Callable[[Table], Iterator[str]], table: Table, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        out.writelines(lines(table))


def _json_lines(table: Table) -> Iterator[str]:
    """Yield the rows as one JSON list, each row on lines of its own."""
    before = "["
    for _, row in table.numbered():
        text = as_json(row, indent=1)
        yield before + "\n " + text.replace("\n", "\n ")
        before = ","
    yield "\n]\n" if before == "," else "[]\n"


def _parquet(table: Table, path: Path) -> None:
    """A column whose values have several types is text. The types are found in a pass of their own."""
    import pyarrow
    import pyarrow.parquet

    types: dict[str, Any] = {}
    for group in _groups(table):
        for column, values in zip(table.columns, zip(*group, strict=True), strict=True):
            types[column] = _common_type(types.get(column, pyarrow.null()), _type_of(values))
    schema = pyarrow.schema(
        [(column, pyarrow.string() if types[column] is None else types[column]) for column in table.columns]
    )
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for group in _groups(table):
            columns = zip(*group, strict=True)
            arrays = [_array(values, type_) for values, type_ in zip(columns, schema.types, strict=True)]
            writer.write_table(pyarrow.table(arrays, schema=schema))


def _groups(table: Table) -> Iterator[list[Sequence[Any]]]:
    rows = iter(table.source.values(1))
    while group := list(islice(rows, GROUP)):
        yield group


def _type_of(values: Sequence[Any]) -> "pyarrow.DataType | None":
    """The Arrow type of some values. None: they have several types."""
    import pyarrow

    try:
        return pyarrow.array(values).type
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError):
        return None


def _common_type(one: "pyarrow.DataType | None", other: "pyarrow.DataType | None") -> "pyarrow.DataType | None":
    import pyarrow

    if one is None or other is None or one == other or pyarrow.types.is_null(other):
        return None if other is None else one
    if pyarrow.types.is_null(one):
        return other
    numbers = {pyarrow.int64(), pyarrow.float64()}
    return pyarrow.float64() if {one, other} == numbers else None


def _array(values: Sequence[Any], type_: "pyarrow.DataType") -> Any:
    import pyarrow

    if type_ == pyarrow.string():
        cells = [flat(value) for value in values]
        return pyarrow.array([None if cell is None else str(cell) for cell in cells], type_)
    return pyarrow.array(values, type_)


def _xlsx(table: Table, path: Path) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    if len(table) >= SHEET_ROWS:
        raise StudioError(
            "too-large",
            "A workbook can't hold this many rows.",
            given=f"{len(table):,} rows",
            valid=f"at most {SHEET_ROWS - 1:,} rows",
            hint="Write a .csv or .parquet file.",
            field="out",
        )
    book = Workbook(write_only=True)
    sheet = book.create_sheet("predictions")

    def cell(value: Any) -> Any:
        value = flat(value)
        cell_ = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", value)[:CELL] if isinstance(value, str) else value)
        if isinstance(value, str):
            cell_.data_type = "s"  # a text that begins with = is a text, not a formula
        return cell_

    sheet.append([cell(column) for column in table.columns])
    for values in table.source.values(1):
        sheet.append([cell(value) for value in values])
    book.save(path)


WRITERS: dict[str, Callable[[Table, Path], None]] = {
    ".csv": partial(_text, csv_lines),
    ".tsv": partial(_text, partial(csv_lines, delimiter="\t")),
    ".jsonl": partial(_text, jsonl_lines),
    ".json": partial(_text, _json_lines),
    ".parquet": _parquet,
    ".xlsx": _xlsx,
}
"""File extension → its writer."""
