"""JSON as pandas writes it with `orient="split"` or `orient="table"`. The other orients are objects of columns or rows.

An index of numbers only counts the rows, so it is left out. Another index becomes a column.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from studio.data.columnar import Builder
from studio.data.formats.json_lines import broken_text, kind_of
from studio.schema.numbers import plural

INDEX = "index"
_SPLIT_KEYS = frozenset(("columns", INDEX, "data", "index_names", "column_names"))
"""The last two are in the form that pandas calls tight."""


def is_split(item: dict[str, Any]) -> bool:
    """Return whether an object has the form `{"columns": […], "index": […], "data": [[…], …]}`."""
    columns, rows = item.get("columns"), item.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list) or item.keys() - _SPLIT_KEYS:
        return False
    return not rows or isinstance(rows[0], list)


def add_split(item: dict[str, Any], builder: Builder) -> None:
    """Add the rows of an object in the split form. A row of another length than `columns` becomes a bad row."""
    names, rows = [_name(each) for each in item["columns"]], item["data"]
    index = _meaningful_index(item.get(INDEX), len(rows))
    builder.set_columns([*names, *([INDEX] if index else [])])
    for number, row in enumerate(rows, 1):
        if why := _why_bad(row, number, len(names)):
            builder.add_bad(1, why)
        else:
            builder.add([*row, index[number - 1]] if index else row)


def is_table(item: dict[str, Any]) -> bool:
    """Return whether an object has the form `{"schema": {"fields": […], …}, "data": [{…}, …]}`."""
    if item.keys() != {"schema", "data"} or not isinstance(item["schema"], dict):
        return False
    return isinstance(item["schema"].get("fields"), list) and isinstance(item["data"], list)


def rows_of_table(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the rows of an object in the table form, without an index that only counts them."""
    rows = [row if isinstance(row, dict) else {"value": row} for row in item["data"]]
    if item["schema"].get("primaryKey") == [INDEX] and all(_counts(row.get(INDEX)) for row in rows):
        return ({name: value for name, value in row.items() if name != INDEX} for row in rows)
    return iter(rows)


def _name(name: Any) -> str:
    """Return the name of a column. A column of several levels has a list of names."""
    return " ".join(str(each) for each in name) if isinstance(name, list) else str(name)


def _meaningful_index(index: Any, count: int) -> Sequence[Any]:
    """Return the index of the rows. Empty if there is none, or if it only counts the rows."""
    if not isinstance(index, list) or len(index) != count or all(_counts(each) for each in index):
        return ()
    return index


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _why_bad(row: Any, number: int, width: int) -> str:
    """Return why a row can't be read, or ""."""
    if not isinstance(row, list):
        return f'Row {number:,} of "data" is {kind_of(row)}, not a list of values.'
    if len(row) != width:
        values, names = plural(len(row), "{n} value", "{n} values"), plural(width, "{n} name", "{n} names")
        return f'Row {number:,} of "data" has {values}, but "columns" has {names}.'
    return broken_text("\\u", row)
