"""Answers to questions, counted as the official SQuAD script does: exact match, and F1 of shared words.

Case, punctuation and articles do not count; of several right answers the nearest counts; where there is no answer,
saying nothing is right.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SIGNS = frozenset(string.punctuation)


def normal(text: str) -> str:
    """A text as it is compared."""
    plain = "".join(letter for letter in text.lower() if letter not in _SIGNS)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact(said: str, right: str) -> float:
    """1 where both are one and the same."""
    return float(normal(said) == normal(right))


def f1(said: str, right: str) -> float:
    """Words that both share: precision and recall in one number."""
    mine, theirs = normal(said).split(), normal(right).split()
    if not mine or not theirs:
        return float(mine == theirs)
    shared = sum((Counter(mine) & Counter(theirs)).values())
    return 2 * shared / (len(mine) + len(theirs)) if shared else 0.0


def observe(written: Sequence[str], accepted: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Both scores of each row, against the nearest of its right answers (none: it has no answer)."""
    import numpy as np

    golds = [[each for each in right if normal(each)] or [""] for right in accepted]
    return {
        "exact": np.array(
            [max(exact(said, each) for each in right) for said, right in zip(written, golds, strict=True)]
        ),
        "f1": np.array([max(f1(said, each) for each in right) for said, right in zip(written, golds, strict=True)]),
    }
