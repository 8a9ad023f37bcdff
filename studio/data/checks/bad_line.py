"""Lines of the file that could not be read. The reader reports them; this check makes them a problem."""

from studio.data.checks.base import Check, RowView
from studio.data.phrases import many

NAMED = 3


class BadLines(Check):
    kind = "bad-line"
    unusable = True
    severity = "error"
    why = "Their content would be lost. Training starts only after you fix these lines or leave them out."
    fix = "Leave them out"

    def visit(self, view: RowView) -> None:
        """Do nothing: a bad line has no values."""

    def finish(self) -> None:
        self.row_numbers.extend(bad.row for bad in self.context.table.bad_lines)

    def message(self) -> str:
        lines = self.context.table.bad_lines
        named = " ".join(f"Line {bad.line}: {bad.why}" for bad in lines[:NAMED])
        more = f" And {many(len(lines) - NAMED, 'more line')}." if len(lines) > NAMED else ""
        return f"{many(len(lines), 'line')} can't be read. {named}{more}"
