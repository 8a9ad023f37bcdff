"""How rare each pair of neighbouring words is, in texts that are kept as a character a word.

Few texts are counted exactly and in plain Python, so that a small file needs no numpy; many in a table of fixed size,
since rarity needs no exact count.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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
_TOGETHER = 1_000
"""Texts whose rarest pairs are looked for together."""


class Rarity(Protocol):
    """Counts of pairs."""

    def rarest(self, texts: Sequence[str], most: Callable[[int], int]) -> Iterator[list[int]]:
        """For each text its pairs that are rarest of all, as many as `most` says by its words; of one word, the word
        itself. In the order of their counts, then of their numbers."""
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

    def rarest(self, texts: Sequence[str], most: Callable[[int], int]) -> Iterator[list[int]]:
        """Text by text."""
        for coded in texts:
            yield sorted(set(_pairs(coded)), key=lambda pair: (self._counts[pair], pair))[: most(len(coded))]


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

    def rarest(self, texts: Sequence[str], most: Callable[[int], int]) -> Iterator[list[int]]:
        """A thousand texts at a time."""
        for start in range(0, len(texts), _TOGETHER):
            yield from self._rarest(texts[start : start + _TOGETHER], most)

    def _rarest(self, texts: Sequence[str], most: Callable[[int], int]) -> Iterator[list[int]]:
        import numpy

        words = _numbers("".join(texts))
        lengths = numpy.array([len(coded) for coded in texts])
        text = numpy.repeat(numpy.arange(len(texts)), lengths)
        pairs = words << numpy.uint64(WIDTH)
        pairs[:-1] |= words[1:]
        inside = numpy.append(text[:-1] == text[1:], False) if len(text) else numpy.zeros(0, bool)
        alone = lengths[text] == 1
        pairs[alone] = words[alone]
        pairs, text = pairs[inside | alone], text[inside | alone]
        order = numpy.lexsort((pairs, self._counts[_slots(pairs)], text))
        pairs, text = pairs[order], text[order]
        new = numpy.ones(len(pairs), bool)
        new[1:] = (pairs[1:] != pairs[:-1]) | (text[1:] != text[:-1])
        pairs, text = pairs[new], text[new]
        ends = numpy.searchsorted(text, numpy.arange(len(texts)), side="right").tolist()
        found, first = pairs.tolist(), 0
        for coded, end in zip(texts, ends, strict=True):
            yield found[first : min(end, first + most(len(coded)))]
            first = end


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
