"""Whether a text says the same words again and again, as generative models do when they have learned too little."""

import re
from collections import Counter

WORDS, TIMES = 4, 3
"""A text repeats itself if so many words in a row are in it at least so many times."""
_WORD = re.compile(r"\w+")


def repeats(text: str) -> bool:
    """Return whether the text repeats itself."""
    words = _WORD.findall(text.lower())
    runs = Counter(tuple(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1))
    return max(runs.values(), default=0) >= TIMES
