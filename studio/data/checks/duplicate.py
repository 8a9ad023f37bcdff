"""Exact duplicates: rows that are equal in every role."""

from typing import Any

from studio.data.checks.base import Check, Context, RowView
from studio.schema.numbers import plural


def key_of(values: dict[str, Any]) -> int:
    """Return a hash that equal values share. Lists and objects are hashed by their `repr`."""
    try:
        return hash(tuple(values.values()))
    except TypeError:
        return hash(tuple(repr(value) if isinstance(value, list | dict) else value for value in values.values()))


class Duplicate(Check):
    kind = "duplicate"
    why = "Repeated rows count more than others. If a copy is held out, the model may have memorized it."
    fix = "Remove the copies"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.known: set[int] = set()

    def visit(self, view: RowView) -> None:
        key = key_of(view.values)
        if key in self.known:
            self.row_numbers.append(view.number)
        else:
            self.known.add(key)

    def message(self) -> str:
        return plural(
            len(self.row_numbers),
            "{n} row is an exact copy of a row above.",
            "{n} rows are exact copies of a row above.",
        )
