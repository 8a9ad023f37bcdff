"""Frequencies of neighboring word pairs, in texts that are encoded as one character per word.

Small collections are counted exactly in plain Python, so that a small file needs no numpy. Large ones are counted in a
hash table of fixed size, because the search needs no exact counts.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Protocol

WIDTH = 21
"""Bits of a word: a pair of words is one integer."""
FEW = 200_000
"""Number of words up to which pairs are counted exactly."""
_SEPARATOR = chr(0x10FFFF)
"""Separates texts that are counted together. No word has this character."""
_SLOTS = 1 << 20
_SPREAD = 2_654_435_761
_BATCH = 1 << 20
"""Number of words whose pairs are counted together."""
_TOGETHER = 1_000
"""Number of texts whose rarest pairs are found together."""


class PairCounts(Protocol):
    """Frequencies of word pairs."""

    def rarest(self, texts: Sequence[str], limit_of: Callable[[int], int]) -> Iterator[list[int]]:
        """Yield the rarest pairs of each text, sorted by count and then by value. `limit_of` maps the number of words
        to the number of pairs. A text with one word yields the word itself."""


def count_pairs(texts: Sequence[str]) -> PairCounts:
    """Count the word pairs of all texts."""
    return ExactCounts(texts) if sum(map(len, texts)) <= FEW else HashedCounts(texts)


class ExactCounts:
    """The exact count of each pair."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._counts: Counter[int] = Counter()
        for coded in texts:
            self._counts.update(_pairs(coded))

    def rarest(self, texts: Sequence[str], limit_of: Callable[[int], int]) -> Iterator[list[int]]:
        """See `PairCounts`."""
        for coded in texts:
            yield sorted(set(_pairs(coded)), key=lambda pair: (self._counts[pair], pair))[: limit_of(len(coded))]


class HashedCounts:
    """Counts in a hash table, whose slots several pairs can share."""

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy

        self._counts = numpy.zeros(_SLOTS, dtype=numpy.uint32)
        batch: list[str] = []
        size = 0
        for number, coded in enumerate(texts, 1):
            batch.append(coded)
            size += len(coded) + 1
            if size > _BATCH or number == len(texts):
                words, separator = _word_ids(_SEPARATOR.join(batch)), ord(_SEPARATOR)
                pairs = words[:-1] << numpy.uint64(WIDTH) | words[1:]
                pairs = pairs[(words[:-1] != separator) & (words[1:] != separator)]
                self._counts += numpy.bincount(_slot_indices(pairs), minlength=_SLOTS).astype(numpy.uint32)
                batch, size = [], 0

    def rarest(self, texts: Sequence[str], limit_of: Callable[[int], int]) -> Iterator[list[int]]:
        """See `PairCounts`. Works on a thousand texts at a time."""
        for start in range(0, len(texts), _TOGETHER):
            yield from self._rarest(texts[start : start + _TOGETHER], limit_of)

    def _rarest(self, texts: Sequence[str], limit_of: Callable[[int], int]) -> Iterator[list[int]]:
        import numpy

        words = _word_ids("".join(texts))
        lengths = numpy.array([len(coded) for coded in texts])
        text = numpy.repeat(numpy.arange(len(texts)), lengths)
        pairs = words << numpy.uint64(WIDTH)
        pairs[:-1] |= words[1:]
        inside = numpy.append(text[:-1] == text[1:], False) if len(text) else numpy.zeros(0, bool)
        is_single_word = lengths[text] == 1
        pairs[is_single_word] = words[is_single_word]
        pairs, text = pairs[inside | is_single_word], text[inside | is_single_word]
        order = numpy.lexsort((pairs, self._counts[_slot_indices(pairs)], text))
        pairs, text = pairs[order], text[order]
        new = numpy.ones(len(pairs), bool)
        new[1:] = (pairs[1:] != pairs[:-1]) | (text[1:] != text[:-1])
        pairs, text = pairs[new], text[new]
        ends = numpy.searchsorted(text, numpy.arange(len(texts)), side="right").tolist()
        pair_list, first = pairs.tolist(), 0
        for coded, end in zip(texts, ends, strict=True):
            yield pair_list[first : min(end, first + limit_of(len(coded)))]
            first = end


def _pairs(coded: str) -> list[int]:
    words = list(map(ord, coded))
    return [one << WIDTH | other for one, other in pairwise(words)] if len(words) > 1 else words


def _word_ids(coded: str) -> Any:
    """Return the words of a text as integers."""
    import numpy

    return numpy.frombuffer(coded.encode("utf-32-le", "surrogatepass"), dtype=numpy.uint32).astype(numpy.uint64)


def _slot_indices(pairs: Any) -> Any:
    """Return the slots of pairs in the hash table."""
    import numpy

    return ((pairs * numpy.uint64(_SPREAD)) >> numpy.uint64(20)) & numpy.uint64(_SLOTS - 1)
