"""Cells that hold something else than the role needs: a list where a text should be, turns by nobody known."""

from studio.data.checks.base import Check, Context, Seen
from studio.data.phrases import many
from studio.data.values import is_blank
from studio.schema.dataset import Problem


class WrongType(Check):
    kind = "wrong-type"
    unusable = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.workbook = context.table.format == "xlsx"

    def see(self, seen: Seen) -> None:
        if not seen.lacks or self._formula(seen):
            self.found.append(seen.number)
            return
        there = seen.lacks in seen.values and not is_blank(seen.row.get(self.context.column_of(seen.lacks)))
        if there and seen.values[seen.lacks] is None:
            self.found.append(seen.number)

    def rejects(self, seen: Seen) -> bool:
        """Whether a row that lacks nothing can't be used all the same."""
        return self.workbook and self._formula(seen)

    def _formula(self, seen: Seen) -> bool:
        """A formula whose result the workbook does not hold is read as its own text."""
        return self.workbook and any(isinstance(value, str) and value[:1] == "=" for value in seen.values.values())

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        what = "a formula without its result" if self.workbook else "something else than the role needs, a list say"
        return [
            self.problem(
                "error",
                f"{many(len(self.found), 'row holds', 'rows hold')} {what}.",
                "It can't be put into words for the model; the row is not trained on.",
                "Leave them out",
            )
        ]
