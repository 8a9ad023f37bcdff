"""Paraphrase: a loaded model rewrites a text. Unusable replies are discarded here."""

import re

from studio.data.augment.base import Augmenter, same_numbers

LONGEST = 600
"""Maximum number of characters of a text. Small models lose longer texts."""
_WORD = re.compile(r"\w+")
_ABOUT = re.compile(r"\b(paraphras|rewrit|rephras|sure,|here(?:'s| is)|as an ai|of course)", re.IGNORECASE)
_MARKS = " \n\t\"'“”„«»`*"
SHORTER, LONGER = 0.5, 2.0
SAME, STRANGE = 0.95, 0.2
"""Word overlap (Jaccard) of text and reply. From SAME on, nothing changed. Below STRANGE, the meaning differs."""


class Paraphrase(Augmenter):
    """A paraphrase by the chosen model."""

    name = "paraphrase"
    title = "Paraphrase"
    sentence = "The chosen model rewrites the text in other words. Small models make mistakes, so check each row."
    needs_model = True

    def prompt(self, text: str) -> str:
        """Return the instruction for the model, or "" for a text longer than `LONGEST` characters."""
        if len(text) > LONGEST:
            return ""
        return f"Say the following in other words, with the same meaning. Answer with the new text only.\n\n{text}"

    def parse_reply(self, reply: str, text: str) -> str:
        """Return the first paragraph of the reply if it keeps the numbers, about the length, and some of the words."""
        variant = reply.strip().split("\n\n")[0].strip(_MARKS)
        ratio = len(variant) / max(1, len(text))
        old, new = (set(_WORD.findall(each.casefold())) for each in (text, variant))
        shared = len(old & new) / max(1, len(old | new))
        if not SHORTER <= ratio <= LONGER or not STRANGE <= shared < SAME or not same_numbers(variant, text):
            return ""
        return "" if _ABOUT.search(variant) and not _ABOUT.search(text) else variant
