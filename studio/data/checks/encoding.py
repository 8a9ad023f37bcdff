"""Text with encoding errors (mojibake): cafÃ© for café. Characters that are lost appear as �."""

from studio.data.checks.base import Context, RowView
from studio.data.checks.cell_edits import TextCheck
from studio.data.phrases import listed, short
from studio.data.table import Row
from studio.schema.numbers import plural

_LOST = "�"
NAMED = 3


def repaired(text: str) -> str:
    """Return the text with its encoding errors repaired. Nothing else changes."""
    if text.isascii():
        return text
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    return fix_encoding(text) if is_bad(text) else text


class Encoding(TextCheck):
    kind = "encoding"
    changed = "{rows} repaired"
    why = "The model would learn to write such characters."

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.lost: set[int] = set()
        self.examples: dict[str, None] = {}

    def visit(self, view: RowView) -> None:
        damaged = [text for text in view.texts if not text.isascii() and _damage(text)]
        if damaged:
            self.row_numbers.append(view.number)
            if any(_LOST in repaired(text) for text in damaged):
                self.lost.add(view.number)
            if len(self.examples) < NAMED:
                self.examples[_damage(damaged[0])] = None

    def change(self, text: str) -> str:
        return repaired(text)

    def fixed_cells(self, number: int, row: Row) -> dict[str, object]:
        return {} if number in self.lost else super().fixed_cells(number, row)

    def finish(self) -> None:
        some = len(self.lost) < len(self.row_numbers)
        self.fix = "Remove them" if self.lost else "Repair them"
        if self.lost and some:
            self.fix = "Repair them, and remove those that can't be restored"

    def message(self) -> str:
        message = plural(
            len(self.row_numbers),
            "{n} row has characters with a wrong encoding: {examples}.",
            "{n} rows have characters with a wrong encoding: {examples}.",
            examples=listed(self.examples, NAMED),
        )
        if not self.lost:
            return message
        lost = plural(
            len(self.lost), "{n} row has characters that are lost.", "{n} rows have characters that are lost."
        )
        return f"{message} {lost}"


def _damage(text: str) -> str:
    """Return the first word with an encoding error, or "" if there is none."""
    right = repaired(text)
    if right == text and _LOST not in text:
        return ""
    words = zip(text.split(), right.split(), strict=False)
    return short(next((word for word, better in words if word != better or _LOST in word), text), 24)
