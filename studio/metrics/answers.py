"""Scores of answers to questions, as in the official SQuAD script: exact match, and F1 of shared words.

Case, punctuation and articles are ignored. Of several correct answers, the best match counts. If there is no answer, an
empty prediction is correct.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Any

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SIGNS = frozenset(string.punctuation)


def normalize(text: str) -> str:
    """Return a text in normalized form for comparison."""
    plain = "".join(letter for letter in text.lower() if letter not in _SIGNS)
    return " ".join(_ARTICLES.sub(" ", plain).split())


def exact(prediction: str, reference: str) -> float:
    """Return 1.0 if both texts are equal after normalization, else 0.0."""
    return float(normalize(prediction) == normalize(reference))


def f1(prediction: str, reference: str) -> float:
    """Return the F1 score of shared words, 0.0 to 1.0."""
    predicted, expected = normalize(prediction).split(), normalize(reference).split()
    if not predicted or not expected:
        return float(predicted == expected)
    shared = sum((Counter(predicted) & Counter(expected)).values())
    return 2 * shared / (len(predicted) + len(expected)) if shared else 0.0


def observe(predictions: Sequence[str], accepted: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Return both scores for each row, against the best match of its correct answers. An empty list means no answer."""
    import numpy as np

    references = [[each for each in right if normalize(each)] or [""] for right in accepted]
    pairs = list(zip(predictions, references, strict=True))
    return {
        name: np.array([max(score(prediction, each) for each in right) for prediction, right in pairs])
        for name, score in (("exact", exact), ("f1", f1))
    }
