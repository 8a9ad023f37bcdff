"""Near-duplicate texts, with word order.

Each word of a text becomes one character, so that word sequences are compared as fast as strings. Two texts are near
duplicates if at least nine in ten words are in both in the same order, or all but one, and that one is a typo. Their
numbers must be equal, and each of their parts (such as prompt and reply) must be similar. A text is compared with the
texts that share its rarest pairs of neighboring words. The number of pairs is chosen so that two near duplicates must
share one. So no duplicate is missed by chance, as it would be with random hashing.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from math import floor
from string import punctuation
from zlib import crc32

from studio.data.ngram_index import count_pairs

NEAR = 0.9
"""Minimum fraction of words that two near duplicates share, in the same order."""
NEAR_PART = 0.85
"""The same for each part."""
SHORT = 11
"""Maximum number of words of a short text. With one word replaced, a short text has another meaning."""
LONGEST = 1_000
"""Maximum number of words of a part to compare."""
_DESTROYED = 0.37
"""Maximum fraction of word pairs that two near duplicates do not share (derived from `NEAR`)."""
_CROWDED = 300
"""A pair of words in more distinct texts than this is not used to find candidates."""
_MOST_COMPARED = 40
_WORD = re.compile(r"[぀-ヿ㐀-鿿]|[^\W぀-ヿ㐀-鿿]+")
"""Chinese and Japanese have no spaces: each character counts as a word."""
_ASCII_WORD = re.compile(r"\w+", re.ASCII)
"""The same words of a text in ASCII, in a sixth of the time."""
_APOSTROPHES = str.maketrans("", "", "'’`")
_BORDER = "\0"
_SYMBOLS = 0x10FFFE
_MIN_CONTENT_LETTERS = 4
"""Minimum number of letters of a word that carries meaning."""
_MIN_TYPO_LETTERS = 5
"""Minimum number of letters of a word that can be a typo of another."""


def in_sample(parts: Iterable[str], one_in: int) -> bool:
    """Return whether a text is in the sample, by its longest word. Near duplicates share it, so both are in or out."""
    if one_in == 1:
        return True
    words = " ".join(parts).split()
    longest = max(words, key=len).strip(punctuation) if words else ""
    return crc32(longest.casefold().encode("utf-8", "replace")) % one_in == 0


def _pairs_needed(words: int) -> int:
    """Return the number of rarest pairs of which two near duplicates share at least one."""
    return max(3, floor(_DESTROYED * words) + 1)


class _Codes(dict[str, str]):
    """Word → the character that encodes it, assigned on first use."""

    def __missing__(self, word: str) -> str:
        self[word] = code = chr(1 + len(self) % _SYMBOLS)
        return code


class Texts:
    """Encoded texts, and a search for near duplicates among them."""

    def __init__(self) -> None:
        self.numbers, self.groups = array("Q"), array("q")
        self._codes = _Codes()
        self._coded: list[str] = []
        self._held_out: list[bool] = []

    def __len__(self) -> int:
        return len(self._coded)

    def add(self, number: int, parts: Iterable[str], group: str = "", held_out: bool = False) -> None:
        """Add the text of a row. Only texts of the same group (for example, one label) can be near duplicates."""
        coded, numbers = [], []
        for part in parts:
            text = part.translate(_APOSTROPHES).casefold()
            words = (_ASCII_WORD if text.isascii() else _WORD).findall(text)[:LONGEST]
            coded.append("".join(map(self._codes.__getitem__, words)))
            numbers += [word for word in words if not word.isalpha() and any(map(str.isdigit, word))]
        self.numbers.append(number)
        self.groups.append(hash((group, *numbers)))
        self._coded.append(_BORDER.join(coded).strip(_BORDER))
        self._held_out.append(held_out)

    def near(self) -> Iterator[tuple[int, int]]:
        """Yield (row number, row number of the text that it nearly duplicates). Empty texts have no duplicates.

        If some texts are held out, all others are compared with those. Otherwise each text is compared with the texts
        above it that are not duplicates themselves.
        """
        pair_counts = count_pairs(self._coded)
        places: dict[int, array[int]] = {}
        same: dict[tuple[int, str], int] = {}
        has_held_out = any(self._held_out)
        order = sorted(
            (index for index in range(len(self)) if self._coded[index]), key=lambda index: not self._held_out[index]
        )
        rarest = pair_counts.rarest([self._coded[index] for index in order], _pairs_needed)
        for index, rare in zip(order, rarest, strict=True):
            coded, held_out = self._coded[index], self._held_out[index]
            key = (self.groups[index], coded)
            duplicate_of = None
            if not held_out:
                duplicate_of = same[key] if key in same else self._find_near(index, rare, places)
            if duplicate_of is not None:
                yield self.numbers[index], self.numbers[duplicate_of]
            elif held_out or not has_held_out:
                same.setdefault(key, index)
                for pair in rare:
                    others = places.setdefault(pair, array("L"))
                    if len(others) <= _CROWDED:
                        others.append(index)

    def _find_near(self, index: int, rare: list[int], places: dict[int, "array[int]"]) -> int | None:
        shared: dict[int, int] = {}
        for pair in rare:
            others = places.get(pair, ())
            if len(others) <= _CROWDED:
                for other in others:
                    shared[other] = shared.get(other, 0) + 1
        candidates = sorted(shared, key=lambda other: (-shared[other], other))[:_MOST_COMPARED]
        return next((other for other in candidates if self._is_near(index, other)), None)

    def _is_near(self, one: int, other: int) -> bool:
        if self.groups[one] != self.groups[other]:
            return False
        a, b = self._coded[one], self._coded[other]
        if abs(len(a) - len(b)) > (1 - NEAR) * (len(a) + len(b)):
            return False
        from rapidfuzz.distance import Indel

        if Indel.normalized_similarity(a, b, score_cutoff=NEAR) < NEAR:
            return self._is_typo(a, b)
        if self._differs_in_meaning(a, b):
            return False
        parts = a.split(_BORDER), b.split(_BORDER)
        return len(parts[0]) == len(parts[1]) and all(
            Indel.normalized_similarity(*pair, score_cutoff=NEAR_PART) >= NEAR_PART for pair in zip(*parts, strict=True)
        )

    def _differs_in_meaning(self, a: str, b: str) -> bool:
        """Return whether two short texts differ in one content word, as rows from a template do: "to Rome", "to Oslo".

        Short words (a, the, my) and typos do not change the meaning.
        """
        if len(a) > SHORT or (differing := self._only_difference(a, b)) is None:
            return False
        return self._letters_apart(*differing, _MIN_CONTENT_LETTERS) > 1

    def _only_difference(self, a: str, b: str) -> tuple[str, str] | None:
        """Return the only two words that differ between texts of equal length. None if there are several."""
        if len(a) != len(b) or len(self._codes) > _SYMBOLS:
            return None
        differing = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
        return differing[0] if len(differing) == 1 and _BORDER not in differing[0] else None

    def _letters_apart(self, x: str, y: str, least: int) -> int:
        """Return how many letters two words differ in: 0, 1 or 2 for more. 0 if one has fewer letters than `least`."""
        from rapidfuzz.distance import OSA

        one, other = self._names[ord(x) - 1], self._names[ord(y) - 1]
        return OSA.distance(one, other, score_cutoff=1) if min(len(one), len(other)) >= least else 0

    @cached_property
    def _word_counts(self) -> Counter[str]:
        """How often each word occurs, counted on first use."""
        counts: Counter[str] = Counter()
        for coded in self._coded:
            counts.update(coded)
        return counts

    @cached_property
    def _names(self) -> list[str]:
        return list(self._codes)

    def _is_typo(self, a: str, b: str) -> bool:
        """Return whether all words but one agree, and that one occurs nowhere else and is one letter off."""
        if len(a) < 3 or (differing := self._only_difference(a, b)) is None:
            return False
        if min(self._word_counts[word] for word in differing) > 1:
            return False
        return self._letters_apart(*differing, _MIN_TYPO_LETTERS) == 1
