"""Spelling noise: adds typing errors, so that a model learns to tolerate them."""

import random
import re

from studio.data.augment.base import Augmenter

_WORD = re.compile(r"[^\W\d_]{4,}")
_NEIGHBORS = dict(
    pair.split(":")
    for pair in (
        "a:sq b:vn c:xv d:sf e:wr f:dg g:fh h:gj i:uo j:hk k:jl l:k m:n "
        "n:bm o:ip p:o q:wa r:et s:ad t:ry u:yi v:cb w:qe x:zc y:tu z:x"
    ).split()
)
"""Letter → letters beside it on the keyboard."""
EACH = 12
"""About one word in this many gets an error. At least one word does, and none gets two."""
LEAST = 3
"""Minimum number of words in a text."""


class Spelling(Augmenter):
    """Random typing errors."""

    name = "spelling"
    title = "Spelling noise"
    sentence = "Adds typing errors to a word or two. Numbers and words in capitals stay unchanged."

    def augment(self, text: str, chance: random.Random) -> str:
        """Return the text with a typing error in one or more words, or "" if the text is too short."""
        words = [match for match in _WORD.finditer(text) if not match[0].isupper()]
        if len(text.split()) < LEAST or not words:
            return ""
        chosen = chance.sample(words, max(1, min(len(words), round(len(text.split()) / EACH))))
        for match in sorted(chosen, key=lambda each: -each.start()):
            text = text[: match.start()] + _misspelled(match[0], chance) + text[match.end() :]
        return text


def _misspelled(word: str, chance: random.Random) -> str:
    """Return the word with one typing error, never in the first letter, where readers notice it."""
    at = chance.randrange(1, len(word) - 1)
    neighbors = _NEIGHBORS.get(word[at].lower(), "")
    variants = [word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]]
    if word[at] != word[at + 1]:
        variants.append(word[:at] + word[at + 1] + word[at] + word[at + 2 :])
    if neighbors:
        variants.append(word[:at] + chance.choice(neighbors) + word[at + 1 :])
    return chance.choice(variants)
