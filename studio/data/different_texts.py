"""Texts that differ most from each other, for example to try a model on several kinds of input."""

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+")
_NO_SPACES = re.compile(r"[฀-໿က-႟ក-៿぀-ヿ㐀-鿿]")
"""Letters of scripts that write no spaces between words: Thai, Lao, Burmese, Khmer, Japanese and Chinese."""
PIECE = 3
"""Characters of a piece. In scripts without spaces, pieces are compared instead of words."""


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
    """Return the words of a text. Each word has the same form in every text, so that all texts can be compared."""
    return frozenset(piece for word in _WORD.findall(text.lower()) for piece in _pieces(word))


def _pieces(word: str) -> Sequence[str]:
    """Return a word as it is, or the overlapping pieces of words that are written without spaces."""
    if not _NO_SPACES.search(word):
        return (word,)
    return [word[at : at + PIECE] for at in range(max(1, len(word) - PIECE + 1))]


def _likeness(words: frozenset[str], other: frozenset[str]) -> float:
    together = len(words | other)
    return len(words & other) / together if together else 1.0
