"""Cells with a value of the wrong type, for example a list where a text is needed."""

from studio.data.checks.base import Check, Context, RowView
from studio.data.phrases import many
from studio.data.values import is_blank
from studio.schema.dataset import Problem


class WrongType(Check):
    kind = "wrong-type"
    unusable = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.workbook = context.table.format == "xlsx"

    def visit(self, view: RowView) -> None:
        if not view.lacks or self._formula(view):
            self.row_numbers.append(view.number)
            return
        has_value = view.lacks in view.values and not is_blank(view.row.get(self.context.column_of(view.lacks)))
        if has_value and view.values[view.lacks] is None:
            self.row_numbers.append(view.number)

    def rejects(self, view: RowView) -> bool:
        """Return whether a complete row is unusable because of a formula."""
        return self.workbook and self._formula(view)

    def _formula(self, view: RowView) -> bool:
        """Return whether a value is the text of a formula, because the workbook holds no result for it."""
        return self.workbook and any(isinstance(value, str) and value[:1] == "=" for value in view.values.values())

    def problems(self) -> list[Problem]:
        if not self.row_numbers:
            return []
        what = "a formula without its result" if self.workbook else "something else than the role needs, a list say"
        return [
            self.problem(
                "error",
                f"{many(len(self.row_numbers), 'row holds', 'rows hold')} {what}.",
                "It can't be put into words for the model; the row is not trained on.",
                "Leave them out",
            )
        ]
