"""Texts that differ most from each other, for example to try a model on several kinds of input."""

import re
from collections.abc import Sequence

WORD = re.compile(r"\w+")
PIECE = 3
"""Characters of a piece, where a text has too few spaces for words, as in Chinese or Japanese."""


def different_texts(texts: Sequence[str], count: int) -> list[str]:
    """Return up to `count` texts: the first one, and then always the one that is least like those chosen before.

    Two texts are alike by their words in common (Jaccard index). Of equal ones, the earlier is taken.
    """
    words = {text: _words(text) for text in dict.fromkeys(texts)}
    left, chosen = list(words), list[str]()
    likeness = dict.fromkeys(left, 0.0)
    while left and len(chosen) < count:
        best = min(left, key=lambda text: likeness[text])
        left.remove(best)
        chosen.append(best)
        for text in left:
            likeness[text] = max(likeness[text], _likeness(words[text], words[best]))
    return chosen


def _words(text: str) -> frozenset[str]:
    found = WORD.findall(text.lower())
    if all(len(word) <= PIECE * 5 for word in found) and len(found) > 1:
        return frozenset(found)
    joined = "".join(found)
    return frozenset(joined[at : at + PIECE] for at in range(max(1, len(joined) - PIECE + 1)))


def _likeness(words: frozenset[str], other: frozenset[str]) -> float:
    together = len(words | other)
    return len(words & other) / together if together else 1.0
