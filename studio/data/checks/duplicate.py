"""Exact duplicates: rows that are equal in every role."""

from typing import Any

from studio.data.checks.base import Check, Context, RowView
from studio.data.phrases import many
from studio.schema.dataset import Problem


def key_of(values: dict[str, Any]) -> int:
    """Return a hash that equal values share. Lists and objects are hashed by their `repr`."""
    try:
        return hash(tuple(values.values()))
    except TypeError:
        return hash(tuple(repr(value) if isinstance(value, list | dict) else value for value in values.values()))


class Duplicate(Check):
    kind = "duplicate"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.known: set[int] = set()

    def visit(self, view: RowView) -> None:
        key = key_of(view.values)
        if key in self.known:
            self.row_numbers.append(view.number)
        else:
            self.known.add(key)

    def problems(self) -> list[Problem]:
        if not self.row_numbers:
            return []
        return [
            self.problem(
                "warning",
                f"{many(len(self.row_numbers), 'row is an exact copy', 'rows are exact copies')} of a row above.",
                "Copies weigh more than other rows, and one that is tested on may have been learned by heart.",
                "Remove the copies",
            )
        ]
