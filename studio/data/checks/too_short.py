"""Replies, or texts to be sorted, that say next to nothing where the others say much."""

import re
from array import array
from statistics import median
from unicodedata import category

from studio.data.checks.base import Check, Context, Seen
from studio.data.phrases import many
from studio.schema.dataset import Problem

SHORT_REPLY, USUAL_REPLY = 12, 80
"""Characters of a very short reply, where half of the replies have the others or more."""
SHORT_TEXT, USUAL_TEXT = 1, 20
"""The same of a text to be sorted."""
SAID = ("reply", "chosen", "summary", "translation")
"""Roles of what a model is to say."""
MOST_SHARE = 0.05
"""Where more of the rows are so short, it is their way."""
_WORD = re.compile(r"\w+")
_ONE_WORD = re.compile(r"\b(?:a|one|the|single) word\b")


class TooShort(Check):
    kind = "too-short"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.numbers, self.lengths = array("Q"), array("L")
        self.limit, self.usual = (SHORT_TEXT, USUAL_TEXT) if context.task.has_labels else (SHORT_REPLY, USUAL_REPLY)

    def see(self, seen: Seen) -> None:
        text = self._text(seen)
        length = 0 if _says_nothing(text) else len(text)
        if 0 < length <= self.limit and self._was_asked_for(text, seen):
            length = self.limit + 1
        self.numbers.append(seen.number)
        self.lengths.append(length)

    def _was_asked_for(self, text: str, seen: Seen) -> bool:
        """Whether a short reply is a figure, a word where a word was asked for, or one of the answers offered."""
        if self.context.task.has_labels:
            return False
        asked = self.context.task.text_of(seen.row, self.context.roles).casefold()
        if any(map(str.isdigit, text)) or _ONE_WORD.search(asked):
            return True
        return set(_WORD.findall(asked)).issuperset(_WORD.findall(text.casefold()))

    def _text(self, seen: Seen) -> str:
        if self.context.task.has_labels:
            return str(seen.values.get("text") or "")
        turns = seen.values.get("messages")
        if turns:
            return "\n".join(turn["content"] for turn in turns if turn["role"] == "assistant")
        return next((said for role in SAID if isinstance(said := seen.values.get(role), str)), "")

    def finish(self) -> None:
        if not self.lengths:
            return
        usual = median(self.lengths)
        limit = self.limit if usual >= self.usual else 0
        found = [number for number, length in zip(self.numbers, self.lengths, strict=True) if length <= limit]
        if len(found) <= MOST_SHARE * len(self.lengths):
            self.found.extend(found)

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        what = ("text is", "texts are") if self.context.task.has_labels else ("reply is", "replies are")
        return [
            self.problem(
                "warning",
                f"{many(len(self.found), *what)} very short: {self.limit} characters or fewer, or nothing but signs.",
                "Little can be learned from them, and a few are enough to make a model curt.",
                "Remove them",
            )
        ]


def _says_nothing(text: str) -> bool:
    """Whether there is no letter, number or picture in a text, a dash say."""
    return len(text) <= 40 and all(category(each)[0] in "PZC" for each in text)
