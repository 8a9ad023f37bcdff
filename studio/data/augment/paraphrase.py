"""Paraphrase: a loaded model says the same in other words; what is no honest paraphrase is thrown away here."""

import random
import re

from studio.data.augment.base import same_numbers

LONGEST = 600
"""Characters of a text that a small model can still hold on to."""
_WORD = re.compile(r"\w+")
_ABOUT = re.compile(r"\b(paraphras|rewrit|rephras|sure,|here(?:'s| is)|as an ai|of course)", re.IGNORECASE)
_MARKS = " \n\t\"'“”„«»`*"
SHORTER, LONGER = 0.5, 2.0
SAME, STRANGE = 0.95, 0.2
"""Shares of words in common: above, nothing was changed; below, something else is said."""


class Paraphrase:
    """The same in other words, by the chosen model."""

    name = "paraphrase"
    title = "Paraphrase"
    sentence = "The chosen model says the same in other words. Small models are poor at it: look at each row."
    needs_model = True

    def made(self, text: str, chance: random.Random) -> str:
        """A model has to."""
        return ""

    def prompt(self, text: str) -> str:
        """What the model is asked; empty for a text that is too long for it."""
        if len(text) > LONGEST:
            return ""
        return f"Say the following in other words, with the same meaning. Answer with the new text only.\n\n{text}"

    def read(self, reply: str, text: str) -> str:
        """The first paragraph of the reply, when it keeps the numbers, about the length, and some of the words."""
        said = reply.strip().split("\n\n")[0].strip(_MARKS)
        ratio = len(said) / max(1, len(text))
        old, new = (set(_WORD.findall(each.casefold())) for each in (text, said))
        shared = len(old & new) / max(1, len(old | new))
        if not SHORTER <= ratio <= LONGER or not STRANGE <= shared < SAME or not same_numbers(said, text):
            return ""
        return "" if _ABOUT.search(said) and not _ABOUT.search(text) else said
