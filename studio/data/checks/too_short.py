"""Very short replies, or very short texts to classify, where most others are long."""

import re
from array import array
from statistics import median
from unicodedata import category

from studio.data.checks.base import Check, Context, RowView
from studio.schema.numbers import plural

SHORT_REPLY, USUAL_REPLY = 12, 80
"""Maximum characters of a very short reply, and the minimum median length of all replies."""
SHORT_TEXT, USUAL_TEXT = 1, 20
"""The same for a text to classify."""
OUTPUT_ROLES = ("reply", "chosen", "summary", "translation")
"""Roles of the text that a model learns to write."""
MOST_SHARE = 0.05
"""If more than this fraction of the rows is that short, the dataset is short by design."""
_WORD = re.compile(r"\w+")
_ONE_WORD = re.compile(r"\b(?:a|one|the|single) word\b")


class TooShort(Check):
    kind = "too-short"
    why = "The model learns little from them. A few are enough to make its replies too short."
    fix = "Remove them"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.numbers, self.lengths = array("Q"), array("L")
        self.limit, self.usual = (SHORT_TEXT, USUAL_TEXT) if context.task.has_labels else (SHORT_REPLY, USUAL_REPLY)

    def visit(self, view: RowView) -> None:
        text = self._text(view)
        length = 0 if _is_only_punctuation(text) else len(text)
        if 0 < length <= self.limit and self._is_expected_short(text, view):
            length = self.limit + 1
        self.numbers.append(view.number)
        self.lengths.append(length)

    def _is_expected_short(self, text: str, view: RowView) -> bool:
        """Return whether a short reply has digits, is one word where the prompt asks for one, or repeats words of the
        prompt."""
        if self.context.task.has_labels:
            return False
        prompt = self.context.task.text_of(view.row, self.context.roles).casefold()
        if any(map(str.isdigit, text)) or _ONE_WORD.search(prompt):
            return True
        return set(_WORD.findall(prompt)).issuperset(_WORD.findall(text.casefold()))

    def _text(self, view: RowView) -> str:
        if self.context.task.has_labels:
            return str(view.values.get("text") or "")
        messages = view.values.get("messages")
        if messages:
            return "\n".join(message["content"] for message in messages if message["role"] == "assistant")
        return next((text for role in OUTPUT_ROLES if isinstance(text := view.values.get(role), str)), "")

    def finish(self) -> None:
        if not self.lengths:
            return
        usual = median(self.lengths)
        limit = self.limit if usual >= self.usual else 0
        numbers = [number for number, length in zip(self.numbers, self.lengths, strict=True) if length <= limit]
        if len(numbers) <= MOST_SHARE * len(self.lengths):
            self.row_numbers.extend(numbers)

    def message(self) -> str:
        count, most = len(self.row_numbers), self.limit
        if self.context.task.has_labels:
            return plural(
                count,
                "{n} text is very short: {most} characters or fewer, or only punctuation.",
                "{n} texts are very short: {most} characters or fewer, or only punctuation.",
                most=most,
            )
        return plural(
            count,
            "{n} reply is very short: {most} characters or fewer, or only punctuation.",
            "{n} replies are very short: {most} characters or fewer, or only punctuation.",
            most=most,
        )


def _is_only_punctuation(text: str) -> bool:
    """Return whether a short text has no letter, number or symbol, for example a dash alone."""
    return len(text) <= 40 and all(category(each)[0] in "PZC" for each in text)
