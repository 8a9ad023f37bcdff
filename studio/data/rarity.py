"""How rare each pair of neighbouring words is, in texts that are kept as a character a word.

Few texts are counted exactly and in plain Python, so that a small file needs no numpy; many in a table of fixed size,
since rarity needs no exact count.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

WIDTH = 21
"""Bits of a character: a pair of words is a whole number."""
FEW = 200_000
"""Words up to which each pair is counted by itself."""
_BETWEEN = chr(0x10FFFF)
"""Stands between two texts whose pairs are counted together; no word has this character."""
_SLOTS = 1 << 20
_SPREAD = 2_654_435_761
_BATCH = 1 << 20
"""Words whose pairs are counted together."""


class Rarity(Protocol):
    """Counts of pairs."""

    def rarest(self, coded: str, most: int) -> list[int]:
        """The pairs of a text that are rarest of all, `most` at the most; of one word, the word itself."""
        ...


def rarity_of(texts: Sequence[str]) -> Rarity:
    """The counts over all texts."""
    return Exact(texts) if sum(map(len, texts)) <= FEW else Table(texts)


class Exact:
    """Each pair with its count."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._counts: Counter[int] = Counter()
        for coded in texts:
            self._counts.update(_pairs(coded))

    def rarest(self, coded: str, most: int) -> list[int]:
        """In the order of their counts, then of their numbers."""
        found = set(_pairs(coded))
        if len(found) <= most:
            return sorted(found)
        return sorted(found, key=lambda pair: (self._counts[pair], pair))[:most]


class Table:
    """Counts of places in a table, which several pairs may share."""

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy

        self._counts = numpy.zeros(_SLOTS, dtype=numpy.uint32)
        batch: list[str] = []
        size = 0
        for number, coded in enumerate(texts, 1):
            batch.append(coded)
            size += len(coded) + 1
            if size > _BATCH or number == len(texts):
                words, between = _numbers(_BETWEEN.join(batch)), ord(_BETWEEN)
                pairs = words[:-1] << numpy.uint64(WIDTH) | words[1:]
                pairs = pairs[(words[:-1] != between) & (words[1:] != between)]
                self._counts += numpy.bincount(_slots(pairs), minlength=_SLOTS).astype(numpy.uint32)
                batch, size = [], 0

    def rarest(self, coded: str, most: int) -> list[int]:
        """In the order of their counts, then of their numbers."""
        import numpy

        words = _numbers(coded)
        pairs = numpy.unique(words[:-1] << numpy.uint64(WIDTH) | words[1:] if len(words) > 1 else words)
        if len(pairs) > most:
            pairs = pairs[numpy.lexsort((pairs, self._counts[_slots(pairs)]))[:most]]
        made: list[int] = pairs.tolist()
        return made


def _pairs(coded: str) -> list[int]:
    words = list(map(ord, coded))
    return [one << WIDTH | other for one, other in pairwise(words)] if len(words) > 1 else words


def _numbers(coded: str) -> Any:
    """The words of a text as numbers."""
    import numpy

    return numpy.frombuffer(coded.encode("utf-32-le", "surrogatepass"), dtype=numpy.uint32).astype(numpy.uint64)


def _slots(pairs: Any) -> Any:
    """Places of pairs in the table of counts."""
    import numpy

    return ((pairs * numpy.uint64(_SPREAD)) >> numpy.uint64(20)) & numpy.uint64(_SLOTS - 1)
