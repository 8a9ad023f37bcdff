"""Row numbers in compact form: as spans, each from its first to its last number, in order."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, islice

Spans = tuple[tuple[int, int], ...]


def spans_of(numbers: Iterable[int]) -> Spans:
    """Numbers in any order, possibly repeated, as spans."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number <= spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return tuple((first, last) for first, last in spans)


def numbers_in(spans: Spans) -> Iterator[int]:
    """All numbers, in ascending order."""
    return chain.from_iterable(range(first, last + 1) for first, last in spans)


def some_in(spans: Spans, start: int, count: int) -> list[int]:
    """A page of the numbers: `count` of them, from the one at position `start` (from 1)."""
    return list(islice(numbers_in(spans), max(0, start - 1), max(0, start - 1) + count))


def total_of(spans: Spans) -> int:
    """How many numbers the spans have."""
    return sum(last - first + 1 for first, last in spans)


def is_in(spans: Spans, number: int) -> bool:
    """Whether a number is in the spans."""
    at = bisect_right(spans, (number, number)) - 1
    if at + 1 < len(spans) and spans[at + 1][0] == number:
        return True
    return at >= 0 and spans[at][0] <= number <= spans[at][1]
