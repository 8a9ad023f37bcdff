"""Rows with an empty cell in a required role."""

from collections import Counter

from studio.data.checks.base import Check, Context, RowView
from studio.data.phrases import listed
from studio.data.values import is_blank
from studio.schema.dataset import Problem
from studio.schema.numbers import plural


class Empty(Check):
    kind = "empty"
    unusable = True
    severity = "error"
    why = "Training skips rows without a value, because the model can learn nothing from them."
    fix = "Leave them out"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.by_role: Counter[str] = Counter()

    def visit(self, view: RowView) -> None:
        if self.is_blank_row(view):
            self.row_numbers.append(view.number)
            self.by_role[view.lacks] += 1

    def is_blank_row(self, view: RowView) -> bool:
        """Return whether the missing role has an empty cell, or a conversation has no message of that kind."""
        if not view.lacks:
            return False
        return view.values.get(view.lacks, "") == "" or is_blank(view.row.get(self.context.column_of(view.lacks)))

    def problems(self) -> list[Problem]:
        found = super().problems()
        if not self.by_role.keys() & {"label", "labels"}:
            return found
        why = " ".join((self.why, "You can add labels in the view Label."))
        return [each.model_copy(update={"why": why}) for each in found]

    def message(self) -> str:
        many_roles = len(self.by_role) > 1
        parts = []
        for role, count in self.by_role.most_common():
            column = self.context.column_of(role)
            part = f"no value in {column}" if column in self.context.roles else f"no value as {role}"
            parts.append(f"{part} ({count:,})" if many_roles else part)
        return plural(len(self.row_numbers), "{n} row has {what}.", "{n} rows have {what}.", what=listed(parts))
