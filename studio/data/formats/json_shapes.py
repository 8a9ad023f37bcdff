"""One JSON object as rows, in the shapes that are common.

It can hold columns (lists of equal length, or as pandas writes them), rows by key, questions about passages (SQuAD),
or lists of rows. Lists named `train`, `validation` … keep their split in a column `split`. Rows can be lists.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from studio.data.columns import words_of
from studio.data.formats import pandas_json
from studio.data.phrases import listed
from studio.data.split_names import split_name
from studio.schema.errors import StudioError

SPLIT_COLUMN = "split"
VALUE = "value"
Rows = Iterator[dict[str, Any]]


def rows_of(item: dict[str, Any], name: str) -> Rows:
    """Return the rows in one object. Raise `StudioError` if it has no known shape."""
    values = list(item.values())
    rows: Rows | None = None
    if _is_squad(item):
        rows = _squad(item)
    elif pandas_json.is_table(item):
        rows = pandas_json.rows_of_table(item)
    elif values and all(isinstance(value, list) for value in values):
        rows = _rows_of_lists(item)
    elif values and all(isinstance(value, dict) for value in values):
        rows = _rows_of_objects(item)
    elif any(isinstance(value, list) and value and isinstance(value[0], dict | list) for value in values):
        rows = _rows_of_splits({key: value for key, value in item.items() if isinstance(value, list)})
    elif values and not any(isinstance(value, list | dict) for value in values):
        rows = iter([item])
    if rows is not None:
        return rows
    keys = listed(item)
    raise StudioError(
        "unreadable-file",
        f"{name} is one JSON object without rows or columns.",
        given=f"an object of {keys}",
        valid="a list of objects, one object for each row",
    )


def _rows_of_lists(item: dict[str, list[Any]]) -> Rows | None:
    """Return the rows in an object of lists: lists of rows, or columns of equal length. None for other lists."""
    nested = [isinstance(value[0], dict | list) for value in item.values() if value]
    have_equal_lengths = len({len(value) for value in item.values()}) == 1
    if any(nested) and not (have_equal_lengths and not all(nested)):  # conversations beside ids or labels are columns
        return _rows_of_splits(item)
    if have_equal_lengths:
        return (dict(zip(item, row, strict=True)) for row in zip(*item.values(), strict=True))
    return None


def _rows_of_objects(item: dict[str, dict[str, Any]]) -> Rows:
    """Return the rows in an object of objects: columns with row numbers, as pandas writes them, or rows by key."""
    keys = list(next(iter(item.values())))
    if all(key.isdigit() for key in keys) and all(list(value) == keys for value in item.values()):
        return ({column: value[key] for column, value in item.items()} for key in keys)
    return ({"key": key, **value} if "key" not in value else value for key, value in item.items())


def _rows_of_splits(lists: dict[str, list[Any]]) -> Rows:
    # a list of words beside lists of rows describes them, for example their labels
    lists = {name: rows for name, rows in lists.items() if isinstance(next(iter(rows), None), dict | list)} or lists
    has_many_lists = sum(bool(rows) for rows in lists.values()) > 1
    split_words = {name: _split_word(name) for name in lists}
    all_are_splits = has_many_lists and all(split_words.values())
    columns = columns_of_lists([row for rows in lists.values() for row in rows])
    for name, rows in lists.items():
        for row in rows:
            if isinstance(row, list):
                row = dict(zip(columns, row, strict=False)) if columns else {VALUE: row}
            elif not isinstance(row, dict):
                row = {VALUE: row}
            yield (
                {**row, SPLIT_COLUMN: split_words[name] if all_are_splits else name}
                if has_many_lists and SPLIT_COLUMN not in row
                else row
            )


def _split_word(name: str) -> str:
    """Return the split word in a name: `val` in `oos_val`."""
    return next((word for word in words_of(name) if split_name(word)), "")


def columns_of_lists(rows: Sequence[Any]) -> list[str]:
    """Return names for the columns of rows that are lists. Empty if the rows are not lists of equal length.

    For pairs of texts, the column with repeating values is the label.
    """
    width = len(rows[0]) if rows and isinstance(rows[0], list) else 0
    if not width or not all(isinstance(row, list) and len(row) == width for row in rows):
        return []
    if width == 2 and all(isinstance(row[0], str) and not isinstance(row[1], list | dict) for row in rows):
        kinds = [len({row[place] for row in rows}) for place in (0, 1)]
        if max(kinds) > 2 * min(kinds):
            return ["text", "label"] if kinds[0] > kinds[1] else ["label", "text"]
    return [f"column {number}" for number in range(1, width + 1)]


def _is_squad(item: dict[str, Any]) -> bool:
    data = item.get("data")
    first = data[0] if isinstance(data, list) and data else None
    return isinstance(first, dict) and isinstance(first.get("paragraphs"), list)


def _squad(item: dict[str, Any]) -> Rows:
    """Yield a row for each question, with its passage and the first of its answers."""
    for article in item["data"]:
        for paragraph in article.get("paragraphs") or []:
            for question in paragraph.get("qas") or []:
                answers = question.get("answers") or []
                yield {
                    "id": question.get("id"),
                    "title": article.get("title"),
                    "context": paragraph.get("context"),
                    "question": question.get("question"),
                    "answer": answers[0].get("text") if answers else None,
                    "answers": {
                        "text": [each.get("text") for each in answers],
                        "answer_start": [each.get("answer_start") for each in answers],
                    },
                }
