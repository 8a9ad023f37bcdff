"""Base class for checks whose fix changes the text of cells."""

import json
from collections.abc import Callable
from typing import Any

from studio.data.checks.base import Check
from studio.data.literals import parsed
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
        values = self.context.task.values(row, self.context.roles)
        cells = {column: self._changed(row[column], values.get(role)) for column, role in self.context.roles.items()}
        return {column: value for column, value in cells.items() if value != row[column]}

    def _changed(self, cell: Any, value: Any) -> Any:
        """Return a changed cell. In a text that holds messages, their texts change: they have other line breaks."""
        if isinstance(cell, str) and value != cell.strip():
            messages = parsed(cell)
            changed = with_texts(messages, self.change)
            if changed != messages:
                return json.dumps(changed, ensure_ascii=False, default=str)
        return with_texts(cell, self.change)
