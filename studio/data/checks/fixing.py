"""The fix of a problem: rows to remove, cells to change, and a note about it."""

from dataclasses import dataclass, field
from typing import Any

from studio.data.checks.base import Check
from studio.data.table import Table, changed
from studio.schema.numbers import rows


@dataclass(frozen=True)
class Fix:
    """The fix of one kind of problem for the rows of a table."""

    kind: str = ""
    remove: list[int] = field(default_factory=list)
    values: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Row number → column → new value."""
    changed: str = ""
    """What the note says about the rows with changed cells: `{rows} masked`."""
    words: str = ""

    @classmethod
    def by(cls, check: Check, table: Table) -> "Fix":
        """Return the fix that a finished check offers for its rows."""
        fix = cls(check.kind, changed=check.changed, words=check.words())
        numbers, at = sorted(check.row_numbers), 0
        if not numbers:
            return fix
        for number, row in table.numbered(numbers[0], numbers[-1] - numbers[0] + 1):
            if number != numbers[at]:
                continue
            at += 1
            values = check.fixed_cells(number, row)
            if values:
                fix.values[number] = values
            else:
                fix.remove.append(number)
        return fix

    def __bool__(self) -> bool:
        return bool(self.remove or self.values)

    @property
    def note(self) -> str:
        """One sentence about what the new version changed."""
        parts = []
        if self.values:
            parts.append(self.changed.format(rows=rows(len(self.values))))
        if self.remove:
            parts.append(f"{rows(len(self.remove))} removed")
        return f"{', '.join(parts)}: {self.words}."

    def of(self, table: Table) -> Table:
        """Return the table with the fix applied."""
        return changed(table, remove=self.remove, values=self.values, note=self.note)
