"""Excel workbooks: the requested sheet, or the first one with rows. Formulas are read as their results.

calamine reads the workbook, thirteen times as fast as openpyxl. openpyxl is used only for workbooks with formulas, to
read the text of formulas without a stored result.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, time
from itertools import zip_longest
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from studio.data.columnar import Builder
from studio.data.formats.archive import members_of
from studio.data.formats.base import Format, Reading, ReadLimits
from studio.data.formats.parquet import to_plain
from studio.data.limits import SHEETS
from studio.data.phrases import listed, short
from studio.data.table import Table
from studio.schema.errors import StudioError, nearest
from studio.schema.numbers import plural

LOOKED_AT = 200
"""Number of lines used to detect a title."""
_HINT = "Open it in a spreadsheet program. Save it again as .xlsx without a password, or as CSV."


def _read(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
    members_of(path, name, "Excel workbook", _HINT, limits)
    import python_calamine

    builder = Builder(name, "xlsx", limits)
    try:
        workbook = python_calamine.CalamineWorkbook.from_path(path)
        title = _sheet(workbook, builder, how)
        if not title:
            return builder.table()
        rows = workbook.get_sheet_by_name(title).to_python(skip_empty_area=False)
    except (python_calamine.CalamineError, OSError, ValueError, KeyError) as error:
        raise StudioError("unreadable-file", f"{name} can't be read as an Excel workbook.", hint=_HINT) from error
    return _fill(builder, rows, _formulas(path, title))


def _sheet(workbook: Any, builder: Builder, how: Reading) -> str:
    """Return the requested sheet, or the first one with a header and a row; "" if there is none.

    Raise `StudioError` if the sheet does not exist. Also raise it for several sheets with rows, if `options.ask`.
    """
    titles: list[str] = workbook.sheet_names
    requested = how.sheet
    if requested and requested not in titles:
        raise StudioError(
            "bad-setting",
            f"There is no sheet {requested}.",
            valid=titles,
            hint=nearest(requested, titles),
            field="sheet",
        )
    if len(titles) > SHEETS:
        raise StudioError(
            "too-large",
            f"{builder.name} has too many sheets.",
            given=f"{len(titles):,} sheets",
            valid=f"at most {SHEETS:,} sheets",
            hint="Save the sheet that you need as a separate file.",
        )
    builder.sheets = [title for title in titles if _has_rows(workbook, title)]
    if how.ask and not requested and len(builder.sheets) > 1:
        raise StudioError(
            "sheet-unclear",
            f"{builder.name} has {len(builder.sheets)} sheets with rows. It is not clear which one to read.",
            valid=builder.sheets,
            hint="Name one with --sheet.",
            field="sheet",
        )
    title = requested or next(iter(builder.sheets), "")
    others = [each for each in titles if each != title]
    if title and others:
        builder.notes.append(f"Read from the sheet {title}. Not read: {listed(others, 20)}.")
    builder.detected["sheet"] = title
    return title


def _has_rows(workbook: Any, title: str) -> bool:
    rows = workbook.get_sheet_by_name(title).to_python(skip_empty_area=True, nrows=1000)
    return sum(map(_filled, rows)) > 1


def _formulas(path: Path, title: str) -> Iterator[Sequence[Any]]:
    """Yield the rows of a sheet with the text of formulas, if there are any."""
    if not _has_formulas(path):
        return
    import openpyxl

    workbook = openpyxl.load_workbook(path, read_only=True, data_only=False)
    try:
        sheet = workbook[title]
        sheet.reset_dimensions()
        yield from sheet.iter_rows(values_only=True)
    finally:
        workbook.close()


def _has_formulas(path: Path) -> bool:
    """Return whether any sheet has a formula. This scans the XML, because opening the workbook twice is slow."""
    with ZipFile(path) as archive:
        for member in archive.namelist():
            if not member.startswith("xl/worksheets/"):
                continue
            with archive.open(member) as sheet_file:
                tail = b""
                while chunk := sheet_file.read(1 << 20):
                    if b"<f>" in tail + chunk or b"<f " in tail + chunk:
                        return True
                    tail = chunk[-3:]
    return False


def _plain(value: Any) -> Any:
    """Convert Excel's numbers and moments: 2.0 becomes 2, a moment at midnight a date."""
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return None if value == "" else to_plain(value)


def _filled(row: Sequence[Any]) -> bool:
    return any(map(_has_value, row))


def _has_value(value: Any) -> bool:
    """Return whether a cell is not empty."""
    return value is not None and value != ""


def _title_of(rows: Sequence[Sequence[Any]]) -> str:
    """Return the title: a single value in the first filled line, above a header and rows of several cells."""
    filled = [list(filter(_has_value, row)) for row in rows[:LOOKED_AT]]
    filled = [row for row in filled if row]
    if len(filled) < 3 or len(filled[0]) != 1 or len(filled[1]) < 2:
        return ""
    wide = sum(len(row) > 1 for row in filled[1:])
    names = all(isinstance(value, str) for value in filled[1])
    return str(filled[0][0]) if names and wide > 0.5 * (len(filled) - 1) else ""


def _column_indices(names: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[int]:
    """Return the indices of the columns that have a name or any value."""
    named_columns = {index for index, value in enumerate(names) if _has_value(value)}
    unnamed = [index for index in range(max(map(len, rows), default=0)) if index not in named_columns]
    filled_columns = {index for row in rows for index in unnamed if index < len(row) and _has_value(row[index])}
    return sorted(named_columns | filled_columns)


def _fill(builder: Builder, rows: Sequence[Sequence[Any]], texts: Iterator[Sequence[Any]]) -> Table:
    """Add the rows below the header, which is the first filled line. Blank lines between rows are rows."""
    columns: list[int] = []
    blank, unsolved, title = 0, 0, _title_of(rows)
    if title:
        builder.notes.append(f"The first line is a title, not a row: {short(title)}.")
    for row, text in zip_longest(rows, texts, fillvalue=()):
        if not _filled(row) and not _filled(text):
            blank += 1
            continue
        if title:
            title = ""
            continue
        if not columns:
            columns = _column_indices(row, rows)
            builder.set_columns([_plain(row[column]) if column < len(row) else None for column in columns])
            blank = 0
            continue
        for _ in range(blank):
            builder.add([])
        blank = 0
        values = [_plain(row[column]) if column < len(row) else None for column in columns]
        for index, column in enumerate(columns):
            formula = text[column] if column < len(text) else None
            if isinstance(formula, str) and formula.startswith("=") and values[index] is None:
                values[index] = formula
                unsolved += 1
        builder.add(values)
    if unsolved:
        cells = plural(unsolved, "{n} cell", "{n} cells")
        builder.notes.append(
            f"Formulas without a stored result, read as the formula's text: {cells}. "
            "Open the file in a spreadsheet and save it to store the results."
        )
    return builder.table()


XLSX = Format("xlsx", "Excel", (".xlsx", ".xlsm"), _read, sandboxed=True)
