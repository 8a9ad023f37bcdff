"""Texts that were decoded the wrong way once: cafÃ© for café. What is lost for good shows as �."""

from studio.data.checks.base import Context, Seen
from studio.data.checks.cell_edits import TextCheck
from studio.data.phrases import listed, many, short
from studio.data.table import Row
from studio.schema.dataset import Problem

_LOST = "�"
NAMED = 3


def repaired(text: str) -> str:
    """The text with wrong decodings undone, and nothing else changed."""
    if text.isascii():
        return text
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    return fix_encoding(text) if is_bad(text) else text


class Encoding(TextCheck):
    kind = "encoding"
    changed = "repaired"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.lost: set[int] = set()
        self.examples: dict[str, None] = {}

    def see(self, seen: Seen) -> None:
        damaged = [text for text in seen.texts if not text.isascii() and _damage(text)]
        if damaged:
            self.found.append(seen.number)
            if any(_LOST in repaired(text) for text in damaged):
                self.lost.add(seen.number)
            if len(self.examples) < NAMED:
                self.examples[_damage(damaged[0])] = None

    def change(self, text: str) -> str:
        return repaired(text)

    def mended(self, number: int, row: Row) -> dict[str, object]:
        return {} if number in self.lost else super().mended(number, row)

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        lost, some = len(self.lost), len(self.lost) < len(self.found)
        gone = f" In {many(lost, 'row')} something is lost for good." if lost else ""
        fix = "Repair them" if not lost else "Repair them, and remove those that are lost" if some else "Remove them"
        return [
            self.problem(
                "warning",
                f"{many(len(self.found), 'row holds', 'rows hold')} characters that were decoded the wrong way: "
                f"{listed(self.examples, NAMED)}.{gone}",
                "The model would learn to write such characters.",
                fix,
            )
        ]


def _damage(text: str) -> str:
    """The first word that was decoded the wrong way; empty when there is none."""
    right = repaired(text)
    if right == text and _LOST not in text:
        return ""
    words = zip(text.split(), right.split(), strict=False)
    return short(next((word for word, better in words if word != better or _LOST in word), text), 24)
