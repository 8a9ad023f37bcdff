"""Rows that lack what the task needs: nothing in a required role."""

from collections import Counter

from studio.data.checks.base import Check, Context, Seen
from studio.data.phrases import listed, many
from studio.data.values import is_blank
from studio.schema.dataset import Problem


class Empty(Check):
    kind = "empty"
    unusable = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.by_role: Counter[str] = Counter()

    def see(self, seen: Seen) -> None:
        if self.blank(seen):
            self.found.append(seen.number)
            self.by_role[seen.lacks] += 1

    def blank(self, seen: Seen) -> bool:
        """Whether the lacking role has an empty cell, or a conversation has no turn of that kind."""
        if not seen.lacks:
            return False
        return seen.values.get(seen.lacks, "") == "" or is_blank(seen.row.get(self.context.column_of(seen.lacks)))

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        several = len(self.by_role) > 1
        parts = []
        for role, count in self.by_role.most_common():
            column = self.context.column_of(role)
            where = f"in {column}" if column in self.context.roles else f"as {role}"
            parts.append(f"nothing {where}" + (f" ({count:,})" if several else ""))
        return [
            self.problem(
                "error",
                f"{many(len(self.found), 'row has', 'rows have')} {listed(parts)}.",
                "Nothing can be learned from such a row; it is counted and not trained on.",
                "Leave them out",
            )
        ]
