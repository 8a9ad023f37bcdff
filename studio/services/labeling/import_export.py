"""Export of labels as CSV for a spreadsheet or as JSONL for a program, and import, matched by row number or by text."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from studio.data.table import Table
from studio.data.values import for_spreadsheet, label_name
from studio.schema.errors import StudioError
from studio.schema.labeling import Carried, Fact
from studio.services.labeling.session import Session, clean_name

FORMATS = ("csv", "jsonl")
MAX_DIGITS = 20
"""Digits of a row number. `int` raises an error for thousands of digits."""
VALUE_COLUMNS = ("label", "labels", "category", "class", "reply", "choice")
"""Names of columns with values, besides the name of the label task."""


def export_labels(session: Session, format: str, each: bool) -> tuple[str, int]:
    """Return the values as CSV or JSONL, and how many: one of each row. `each`: one of each person."""
    if format not in FORMATS:
        raise StudioError("unknown-format", "Labels can be exported as CSV or JSONL only.", given=format, valid=FORMATS)
    header = ("row", session.text_column, session.label_task.name, "labeller", "time")
    lines = list(_lines(session, each))
    if format == "jsonl":
        objects = (dict(zip(header, line, strict=True)) for line in lines)
        return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in objects), len(lines)
    out = io.StringIO()
    csv.writer(out).writerows([for_spreadsheet(cell) for cell in line] for line in (header, *lines))
    return out.getvalue(), len(lines)


def _lines(session: Session, each: bool) -> Iterator[tuple[int, str, str | None, str, str]]:
    """Yield row, text, value, labeler and time. Values of the dataset have no labeler and time."""
    state, texts = session.state, session.texts(session.state.values)
    for row in sorted(state.values):
        facts = sorted(state.given(row), key=attrgetter("id"))
        if not each:
            facts = [fact for fact in facts if fact.value == state.values[row]][-1:]
        for fact in facts:
            yield row, texts.get(row, ""), fact.value, fact.labeller, fact.time
        if not facts:
            yield row, texts.get(row, ""), state.values[row], "", ""


def import_labels(session: Session, table: Table) -> tuple[list[Fact], Carried]:
    """Return the facts to save, and a summary. Lines with a column `labeller` count as that person's labels."""
    label_task, state = session.label_task, session.state
    value_column = _column(table, label_task.name, *VALUE_COLUMNS)
    if value_column is None:
        what = f"The file has no column {label_task.name}."
        valid = f"the columns row and {label_task.name}, or the text and {label_task.name}"
        raise StudioError("columns-unclear", what, given=", ".join(table.columns), valid=valid)
    find_row, matched_by = _row_finder(session, table, value_column)
    name_column = _column(table, "labeller")
    facts, same, lost = [], 0, 0
    for cells in table.rows():
        value, row = label_task.clean(_value(cells.get(value_column), table)), find_row(cells)
        if not value or row is None:
            lost += 1
            continue
        name = clean_name(_value(cells.get(name_column), table)) if name_column else ""
        labeler = name or session.labeler
        mark = state.mark(row, labeler)
        before = mark.value if mark else None if labeler else state.values.get(row)
        if before == value:
            same += 1
        else:
            facts.append(session.fact("given", row, value, labeller=labeler))
    return facts, Carried(taken=len(facts), same=same, lost=lost, by=matched_by)


def _value(cell: Any, table: Table) -> str:
    """Return the value in a cell, without the apostrophe that the export puts before a formula."""
    value = label_name(cell)
    without = value.removeprefix("'")
    return without if table.format not in ("json", "jsonl") and for_spreadsheet(without) == value else value


def _row_finder(
    session: Session, table: Table, value_column: str
) -> tuple[Callable[[Mapping[str, Any]], int | None], str]:
    """Return the function that finds the row of a line, and how it does: by `row` number, or by `text`."""
    total, number_column = session.record.rows, _column(table, "row")
    if number_column is not None:

        def by_number(cells: Mapping[str, Any]) -> int | None:
            name = label_name(cells.get(number_column))
            return int(name) if name.isdecimal() and len(name) <= MAX_DIGITS and 1 <= int(name) <= total else None

        return by_number, "row"
    text_column = next((c for c in session.columns.values() if c in table.columns and c != value_column), None)
    if text_column is None:
        what = "The file does not say which row each line belongs to."
        valid = "a column row with row numbers, or the dataset's own text column"
        raise StudioError("columns-unclear", what, given=", ".join(table.columns), valid=valid)
    rows: dict[str, list[int]] = defaultdict(list)
    for row, text in session.texts(range(1, total + 1)).items():
        rows[text.strip()].append(row)

    def by_text(cells: Mapping[str, Any]) -> int | None:
        text = str(cells.get(text_column) or "").strip()
        # the export puts an apostrophe before a formula
        places = rows.get(text) or rows.get(text.removeprefix("'"))
        return places.pop(0) if places and len(places) > 1 else next(iter(places or ()), None)

    return by_text, "text"


def _column(table: Table, *names: str) -> str | None:
    """Return the first column with one of the names, ignoring case."""
    by_name = {column.strip().lower(): column for column in table.columns}
    return next((by_name[name] for name in names if name in by_name), None)
