"""Base class for checks whose fix changes the text of cells."""

from collections.abc import Callable
from typing import Any

from studio.data.checks.base import Check
from studio.data.table import Row


def with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return the value with every text in it changed. Keys of objects stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [with_texts(each, change) for each in value]
    if isinstance(value, dict):
        return {name: with_texts(each, change) for name, each in value.items()}
    return value


class TextCheck(Check):
    """A check whose fix changes texts in the columns that have a role."""

    def change(self, text: str) -> str:
        """Return the corrected text."""
        raise NotImplementedError

    def fixed_cells(self, number: int, row: Row) -> dict[str, Any]:
        cells = {column: with_texts(row[column], self.change) for column in self.context.roles}
        return {column: value for column, value in cells.items() if value != row[column]}
