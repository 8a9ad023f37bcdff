"""Lines of the file that could not be read. The reader reports them; this check makes them a problem."""

from studio.data.checks.base import Check, RowView
from studio.schema.numbers import plural

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
        message = f"{unreadable_lines(len(lines))} {named}"
        if len(lines) <= NAMED:
            return message
        more = plural(len(lines) - NAMED, "And {n} more line.", "And {n} more lines.")
        return f"{message} {more}"


def unreadable_lines(count: int) -> str:
    """Return a sentence with the number of lines that can't be read."""
    return plural(count, "{n} line can't be read.", "{n} lines can't be read.")
