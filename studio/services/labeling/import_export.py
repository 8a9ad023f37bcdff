"""Export of labels as CSV for a spreadsheet or as JSONL for a program, and import, matched by row number or by text."""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from studio.data.table import Table
from studio.data.values import for_spreadsheet, label_name
from studio.schema.errors import StudioError
from studio.schema.labeling import Carried, Fact
from studio.services.labeling.session import Session, clean_name

FORMATS = ("csv", "jsonl")
VALUE_COLUMNS = ("label", "labels", "category", "class", "reply", "choice")
"""Names of columns with values, besides the name of the label task."""


def export_labels(session: Session, format: str, each: bool) -> str:
    """Return the values as CSV or JSONL, one line for each row. `each`: one line for each person's value."""
    if format not in FORMATS:
        raise StudioError("unknown-format", "Labels can be exported as CSV or JSONL only.", given=format, valid=FORMATS)
    lines = list(_lines(session, each))
    if format == "jsonl":
        return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    header = list(lines[0]) if lines else ["row", session.label_task.name, "labeller", "time"]
    writer.writerow([for_spreadsheet(name) for name in header])
    writer.writerows([for_spreadsheet(_flat(line[name])) for name in header] for line in lines)
    return out.getvalue()


def count_lines(text: str, format: str) -> int:
    """Return the number of exported lines. A CSV cell may contain line breaks."""
    return text.count("\n") if format == "jsonl" else sum(1 for _ in csv.reader(io.StringIO(text, newline=""))) - 1


def import_labels(session: Session, table: Table) -> tuple[list[Fact], Carried]:
    """Return the facts to save, and a summary. Lines with a column `labeller` count as that person's labels."""
    label_task, state = session.label_task, session.state
    value_column = _column(table, label_task.name, *VALUE_COLUMNS)
    if value_column is None:
        raise StudioError(
            "columns-unclear",
            f"The file has no column {label_task.name}.",
            given=", ".join(table.columns),
            valid=f"the columns row and {label_task.name}, or the text and {label_task.name}",
        )
    find_row, matched_by = _row_finder(session, table, value_column)
    name_column = _column(table, "labeller")
    facts, same, lost = [], 0, 0
    for cells in table.rows():
        value, row = label_task.clean(label_name(cells.get(value_column))), find_row(cells)
        if not value or row is None:
            lost += 1
            continue
        name = clean_name(str(cells.get(name_column) or "")) if name_column else ""
        labeler = name or session.labeler
        mark = state.mark(row, labeler)
        before = mark.value if mark else None if labeler else state.values.get(row)
        if before == value:
            same += 1
        else:
            facts.append(session.fact("given", row, value, labeller=labeler))
    return facts, Carried(taken=len(facts), same=same, lost=lost, by=matched_by)


def _row_finder(
    session: Session, table: Table, value_column: str
) -> tuple[Callable[[Mapping[str, Any]], int | None], str]:
    """Return the function that finds the row of a line, and how it does: by `row` number, or by `text`."""
    total, number_column = session.record.rows, _column(table, "row")
    if number_column is not None:

        def by_number(cells: Mapping[str, Any]) -> int | None:
            name = label_name(cells.get(number_column))
            return int(name) if name.isdecimal() and 1 <= int(name) <= total else None

        return by_number, "row"
    text_column = next((c for c in session.columns.values() if c in table.columns and c != value_column), None)
    if text_column is None:
        raise StudioError(
            "columns-unclear",
            "The file does not say which row each line belongs to.",
            given=", ".join(table.columns),
            valid="a column row with row numbers, or the dataset's own text column",
        )
    rows: dict[str, list[int]] = defaultdict(list)
    for row, text in session.texts(range(1, total + 1)).items():
        rows[text.strip()].append(row)

    def by_text(cells: Mapping[str, Any]) -> int | None:
        text = str(cells.get(text_column) or "").strip()
        # the export puts an apostrophe before a formula
        places = rows.get(text) or rows.get(text.removeprefix("'"))
        return places.pop(0) if places and len(places) > 1 else next(iter(places or ()), None)

    return by_text, "text"


def _lines(session: Session, each: bool) -> Iterator[dict[str, Any]]:
    state, rows = session.state, sorted(session.state.values)
    texts = session.texts(rows)
    for row in rows:
        values = [(fact.id, fact.labeller, fact.value, fact.time) for fact in state.given(row)]
        current = (entry for entry in values if entry[2] == state.values[row])
        newest = max(current, default=(0, "", state.values[row], ""))
        for _, labeler, value, time in (sorted(values) or [newest]) if each else [newest]:
            yield {
                "row": row,
                session.text_column: texts.get(row, ""),
                session.label_task.name: value,
                "labeller": labeler,
                "time": time,
            }


def _column(table: Table, *names: str) -> str | None:
    """Return the first column with one of the names, ignoring case."""
    by_name = {column.strip().lower(): column for column in table.columns}
    return next((by_name[name] for name in names if name in by_name), None)


def _flat(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
