"""Lines of the file that could not be read. The reader reports them; this check makes them a problem."""

from studio.data.checks.base import Check, RowView
from studio.data.phrases import many
from studio.schema.dataset import Problem

NAMED = 3


class BadLines(Check):
    kind = "bad-line"
    unusable = True

    def visit(self, view: RowView) -> None:
        """Do nothing: a bad line has no values."""

    def finish(self) -> None:
        self.row_numbers.extend(bad.row for bad in self.context.table.bad_lines)

    def problems(self) -> list[Problem]:
        lines = self.context.table.bad_lines
        if not lines:
            return []
        named = " ".join(f"Line {bad.line}: {bad.why}" for bad in lines[:NAMED])
        more = f" And {many(len(lines) - NAMED, 'more line')}." if len(lines) > NAMED else ""
        return [
            self.problem(
                "error",
                f"{many(len(lines), 'line')} can't be read. {named}{more}",
                "What stands there would be lost without a word; so nothing is trained on until you decide.",
                "Leave them out",
            )
        ]
