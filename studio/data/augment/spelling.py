"""Spelling noise: the slips that fingers make, so that a model learns to read past them."""

import random
import re

_WORD = re.compile(r"[^\W\d_]{4,}")
_BESIDE = {
    "a": "sq",
    "b": "vn",
    "c": "xv",
    "d": "sf",
    "e": "wr",
    "f": "dg",
    "g": "fh",
    "h": "gj",
    "i": "uo",
    "j": "hk",
    "k": "jl",
    "l": "k",
    "m": "n",
    "n": "bm",
    "o": "ip",
    "p": "o",
    "q": "wa",
    "r": "et",
    "s": "ad",
    "t": "ry",
    "u": "yi",
    "v": "cb",
    "w": "qe",
    "x": "zc",
    "y": "tu",
    "z": "x",
}
EACH = 12
"""One word in about so many gets a slip; at least one, and no two in the same word."""
LEAST = 3
"""Words that a text needs."""


class Spelling:
    """Slips of the pen."""

    name = "spelling"
    title = "Spelling noise"
    sentence = "Letters swapped, doubled, left out or hit beside, in a word or two. Numbers and names in capitals stay."
    needs_model = False

    def made(self, text: str, chance: random.Random) -> str:
        """The text with a slip in a word or two."""
        words = [found for found in _WORD.finditer(text) if not found[0].isupper()]
        if len(text.split()) < LEAST or not words:
            return ""
        chosen = chance.sample(words, max(1, min(len(words), round(len(text.split()) / EACH))))
        for found in sorted(chosen, key=lambda each: -each.start()):
            text = text[: found.start()] + _slip(found[0], chance) + text[found.end() :]
        return text

    def prompt(self, text: str) -> str:
        """Nobody is asked."""
        return ""

    def read(self, reply: str, text: str) -> str:
        """Nobody answers."""
        return ""


def _slip(word: str, chance: random.Random) -> str:
    """One slip, not in the first letter: people notice that one."""
    at = chance.randrange(1, len(word) - 1)
    beside = _BESIDE.get(word[at].lower(), "")
    slips = [word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]]
    if word[at] != word[at + 1]:
        slips.append(word[:at] + word[at + 1] + word[at] + word[at + 2 :])
    if beside:
        slips.append(word[:at] + chance.choice(beside) + word[at + 1 :])
    return chance.choice(slips)
