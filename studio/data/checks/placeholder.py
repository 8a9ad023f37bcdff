"""Placeholders that were never filled in: {{name}}, TODO, N/A, lorem ipsum."""

import re

from studio.data.checks.base import Check, Context, RowView
from studio.data.phrases import listed, short
from studio.schema.numbers import plural

_FIELD = re.compile(r"(?<!\$)\{\{\s*[A-Za-z_][\w -]+\}\}")
_WHOLE = frozenset("n/a #n/a na nan null todo tbd fixme xxx xxxx ??? placeholder <na> none.".split())
_OPEN = re.compile(r"(TODO|TBD|FIXME)\b\s*[:\-]")


def placeholder_in(text: str) -> str:
    """Return the placeholder in a text, or "" if there is none."""
    if "{{" in text and (match := _FIELD.search(text)):
        return match[0]
    if len(text) <= 12 and text.lower() in _WHOLE:
        return text
    if text[0] in "TF" and (match := _OPEN.match(text)):
        return match[1]
    return "lorem ipsum" if "orem ipsum" in text else ""


class Placeholder(Check):
    kind = "placeholder"
    why = "The model learns to write the placeholder itself."
    fix = "Leave them out, or fill them in"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.examples: dict[str, None] = {}

    def visit(self, view: RowView) -> None:
        hits = [hit for text in view.texts if (hit := placeholder_in(text))]
        if hits:
            self.row_numbers.append(view.number)
            if len(self.examples) < 20:
                self.examples.update(dict.fromkeys(short(hit) for hit in hits))

    def message(self) -> str:
        return plural(
            len(self.row_numbers),
            "{n} row has a placeholder: {examples}.",
            "{n} rows have a placeholder: {examples}.",
            examples=listed(self.examples, 3),
        )
