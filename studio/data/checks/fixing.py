"""What a fix does: rows that it removes, cells that it gives new values, and a sentence about it."""

from dataclasses import dataclass, field
from typing import Any

from studio.data.checks.base import Check
from studio.data.phrases import many
from studio.data.table import Table, changed


@dataclass(frozen=True)
class Fix:
    """The fix of one kind of problem, worked out for the rows of a table."""

    kind: str = ""
    remove: list[int] = field(default_factory=list)
    values: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Row number → column → new value."""
    changed: str = ""
    words: str = ""

    @classmethod
    def by(cls, check: Check, table: Table) -> "Fix":
        """What a check that has seen all rows offers for those that it found."""
        fix = cls(check.kind, changed=check.changed, words=check.words())
        found, at = sorted(check.found), 0
        if not found:
            return fix
        for number, row in table.numbered(found[0], found[-1] - found[0] + 1):
            if number != found[at]:
                continue
            at += 1
            values = check.mended(number, row)
            if values:
                fix.values[number] = values
            else:
                fix.remove.append(number)
        return fix

    def __bool__(self) -> bool:
        return bool(self.remove or self.values)

    @property
    def note(self) -> str:
        """What the new version changed, in a sentence."""
        parts = []
        if self.values:
            parts.append(f"{many(len(self.values), 'row')} {self.changed}")
        if self.remove:
            parts.append(f"{many(len(self.remove), 'row')} removed")
        return f"{', '.join(parts)}: {self.words}."

    def of(self, table: Table) -> Table:
        """The table with the fix."""
        return changed(table, remove=self.remove, values=self.values, note=self.note)
