"""Texts that are nearly the same, word order included. Knows no check and no role.

A text is kept as its words, one character for each, so that word orders are compared as fast as strings. Two texts
are near when at least nine in ten words stand in both in the same order (or all but one, and that one is a slip of the
pen), their numbers are the same, and none of their parts (prompt and reply, say) is another one altogether. Whom a
text is compared with is found by its rarest pairs of neighbouring words: so many of them that two near texts must
share one. So no pair is missed by chance, as it would be by random hashing.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property
from math import floor
from string import punctuation
from zlib import crc32

from studio.data.ngram_index import rarity_of

NEAR = 0.9
"""Share of the words that two near texts have in common, in the same order."""
NEAR_PART = 0.85
"""The same for each part."""
SHORT = 11
"""Words up to which a text with another word in the place of one says something else."""
LONGEST = 1_000
"""Words of a part that are looked at."""
_DESTROYED = 0.37
"""Share of a text's word pairs that may be gone in a text that is just near enough (worked out from `NEAR`)."""
_CROWDED = 300
"""More texts than this that are not near each other share a pair of words: then it says nothing."""
_MOST_COMPARED = 40
_WORD = re.compile(r"[぀-ヿ㐀-鿿]|[^\W぀-ヿ㐀-鿿]+")
"""Chinese and Japanese write no spaces: there each character counts as a word."""
_APOSTROPHES = str.maketrans("", "", "'’`")
_BORDER = "\0"
_SYMBOLS = 0x10FFFE
_TELLING = 4
"""Letters from which a word mostly says something by itself."""
_SLIP = 5
"""Letters that a word has at least, for another one to be its slip of the pen."""


def in_sample(parts: Iterable[str], one_in: int) -> bool:
    """Whether a text belongs to a sample: told by its longest word, which near texts share, so both are in or none."""
    if one_in == 1:
        return True
    words = " ".join(parts).split()
    longest = max(words, key=len).strip(punctuation) if words else ""
    return crc32(longest.casefold().encode("utf-8", "replace")) % one_in == 0


def _pairs_needed(words: int) -> int:
    """Of how many pairs two near texts of so many words share one at least."""
    return max(3, floor(_DESTROYED * words) + 1)


class _Codes(dict[str, str]):
    """Word → the character that stands for it, made when a word is first met."""

    def __missing__(self, word: str) -> str:
        self[word] = made = chr(1 + len(self) % _SYMBOLS)
        return made


class Texts:
    """Texts as their words, and which of them are near an earlier one."""

    def __init__(self) -> None:
        self.numbers, self.groups = array("Q"), array("q")
        self._codes = _Codes()
        self._coded: list[str] = []
        self._held: list[bool] = []

    def __len__(self) -> int:
        return len(self._coded)

    def add(self, number: int, parts: Iterable[str], group: str = "", held: bool = False) -> None:
        """Keep a text by its row's number; only texts of one group (one label, say) can be near each other."""
        coded, numbers = [], []
        for part in parts:
            words = _WORD.findall(part.translate(_APOSTROPHES).casefold())[:LONGEST]
            coded.append("".join(map(self._codes.__getitem__, words)))
            numbers += [word for word in words if not word.isalpha() and any(map(str.isdigit, word))]
        self.numbers.append(number)
        self.groups.append(hash((group, *numbers)))
        self._coded.append(_BORDER.join(coded).strip(_BORDER))
        self._held.append(held)

    def near(self) -> Iterator[tuple[int, int]]:
        """Row numbers of a text and of one that it is near to; texts without a word are near to none.

        Where texts are held, all others are compared with those; else each text is compared with those above it that
        are near to none themselves.
        """
        rarity = rarity_of(self._coded)
        places: dict[int, array[int]] = {}
        same: dict[tuple[int, str], int] = {}
        beside = any(self._held)
        order = sorted(
            (index for index in range(len(self)) if self._coded[index]), key=lambda index: not self._held[index]
        )
        rarest = rarity.rarest([self._coded[index] for index in order], _pairs_needed)
        for index, rare in zip(order, rarest, strict=True):
            coded, held = self._coded[index], self._held[index]
            whole = (self.groups[index], coded)
            found = None
            if not held:
                found = same[whole] if whole in same else self._first_near(index, rare, places)
            if found is not None:
                yield self.numbers[index], self.numbers[found]
            elif held or not beside:
                same.setdefault(whole, index)
                for pair in rare:
                    others = places.setdefault(pair, array("L"))
                    if len(others) <= _CROWDED:
                        others.append(index)

    def _first_near(self, index: int, rare: list[int], places: dict[int, "array[int]"]) -> int | None:
        shared: dict[int, int] = {}
        for pair in rare:
            others = places.get(pair, ())
            if len(others) <= _CROWDED:
                for other in others:
                    shared[other] = shared.get(other, 0) + 1
        likely = sorted(shared, key=lambda other: (-shared[other], other))[:_MOST_COMPARED]
        return next((other for other in likely if self._alike(index, other)), None)

    def _alike(self, one: int, other: int) -> bool:
        if self.groups[one] != self.groups[other]:
            return False
        a, b = self._coded[one], self._coded[other]
        if abs(len(a) - len(b)) > (1 - NEAR) * (len(a) + len(b)):
            return False
        from rapidfuzz.distance import Indel

        if Indel.normalized_similarity(a, b, score_cutoff=NEAR) < NEAR:
            return self._slip(a, b)
        if self._says_else(a, b):
            return False
        parts = a.split(_BORDER), b.split(_BORDER)
        return len(parts[0]) == len(parts[1]) and all(
            Indel.normalized_similarity(*pair, score_cutoff=NEAR_PART) >= NEAR_PART for pair in zip(*parts, strict=True)
        )

    def _says_else(self, a: str, b: str) -> bool:
        """Whether two short texts have one word in place of another, as rows from a template do: "to Rome", "to Oslo".

        Short words (a, the, my) and slips of the pen say the same.
        """
        if len(a) != len(b) or len(a) > SHORT or len(self._codes) > _SYMBOLS:
            return False
        differing = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
        if len(differing) != 1 or _BORDER in differing[0]:
            return False
        from rapidfuzz.distance import OSA

        one, other = (self._names[ord(word) - 1] for word in differing[0])
        return min(len(one), len(other)) >= _TELLING and OSA.distance(one, other, score_cutoff=1) > 1

    @cached_property
    def _used(self) -> Counter[str]:
        """How often each word occurs; counted when it is first asked for."""
        used: Counter[str] = Counter()
        for coded in self._coded:
            used.update(coded)
        return used

    @cached_property
    def _names(self) -> list[str]:
        return list(self._codes)

    def _slip(self, a: str, b: str) -> bool:
        """Whether all words but one agree, and that one stands nowhere else and is a letter away from the other."""
        if len(a) != len(b) or len(a) < 3 or len(self._codes) > _SYMBOLS:
            return False
        differing = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
        if len(differing) != 1 or _BORDER in differing[0]:
            return False
        x, y = differing[0]
        if min(self._used[x], self._used[y]) > 1:
            return False
        from rapidfuzz.distance import OSA

        one, other = self._names[ord(x) - 1], self._names[ord(y) - 1]
        return min(len(one), len(other)) >= _SLIP and OSA.distance(one, other, score_cutoff=1) == 1
