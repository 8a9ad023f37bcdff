"""Exact copies: rows that are equal in every role."""

from typing import Any

from studio.data.checks.base import Check, Context, Seen
from studio.data.phrases import many
from studio.schema.dataset import Problem


def key_of(values: dict[str, Any]) -> int:
    """A number that equal values share; conversations are lists and go by their text."""
    try:
        return hash(tuple(values.values()))
    except TypeError:
        return hash(tuple(repr(value) if isinstance(value, list | dict) else value for value in values.values()))


class Duplicate(Check):
    kind = "duplicate"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.known: set[int] = set()

    def see(self, seen: Seen) -> None:
        key = key_of(seen.values)
        if key in self.known:
            self.found.append(seen.number)
        else:
            self.known.add(key)

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        return [
            self.problem(
                "warning",
                f"{many(len(self.found), 'row is an exact copy', 'rows are exact copies')} of a row above.",
                "Copies weigh more than other rows, and one that is tested on may have been learned by heart.",
                "Remove the copies",
            )
        ]
