"""Rows as the lines of a CSV or JSONL file."""

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from studio.data.table import Row, Table
from studio.data.values import for_spreadsheet

CHUNK = 200
"""Rows in one piece of text."""


def csv_lines(table: Table, delimiter: str = ",") -> Iterator[str]:
    """Yield the columns and the rows as CSV: lists and objects as JSON, formulas with an apostrophe before them."""
    yield _csv([table.columns], delimiter)
    for rows in _chunks(table):
        yield _csv((row.values() for row in rows), delimiter)


def jsonl_lines(table: Table) -> Iterator[str]:
    """Yield the rows as JSONL: one object for each row, with all its columns."""
    for rows in _chunks(table):
        yield "".join(as_json(row) + "\n" for row in rows)


LINES: dict[str, Callable[[Table], Iterator[str]]] = {"csv": csv_lines, "jsonl": jsonl_lines}
"""Format → its writer."""


def _chunks(table: Table) -> Iterator[list[Row]]:
    """Yield all rows, some at a time, in one pass: each pass unpacks whole blocks, from the one where it starts."""
    rows = (row for _, row in table.numbered())
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def _csv(rows: Any, delimiter: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([for_spreadsheet(flat(value)) for value in row] for row in rows)
    return out.getvalue()


def flat(value: Any) -> Any:
    """Return a value that fits into one cell. A number that is not finite leaves it empty."""
    return as_json(value) if isinstance(value, list | dict) else finite(value)


def as_json(value: Any, **how: Any) -> str:
    """Return a value as JSON. NaN and infinity, which JSON does not have, become null."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, **how)
    except ValueError:
        return json.dumps(finite(value), ensure_ascii=False, **how)


def finite(value: Any) -> Any:
    """Return a value with None in the place of NaN and infinity, also within lists and objects."""
    if isinstance(value, list):
        return [finite(each) for each in value]
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
