"""Short documents share a row: fewer, fuller rows, in which each document still sees itself alone."""

from bisect import bisect_left
from collections.abc import Sequence

from studio.schema.config import VIRTUAL, TrainingConfig
from studio.tasks import Example, task_named
from studio.tasks.base import IGNORE_INDEX


def packs(config: TrainingConfig) -> bool:
    """Whether the rows of a run are packed. Virtual tokens stand before a row, so a row must be one text there."""
    return task_named(config.task).packs and config.packing and config.method not in VIRTUAL


def pack(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """Rows of documents that together are no longer than `size` tokens."""
    return [[examples[n] for n in row] for row in filled([len(each.input_ids) for each in examples], size)]


def filled(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Which lengths share a row, by their places: each goes where the least room is left (best fit, longest first)."""
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []
    """(tokens left, row), sorted."""
    for number in sorted(range(len(lengths)), key=lambda each: -lengths[each]):
        length = lengths[number]
        place = bisect_left(room, (length, -1))
        if place < len(room):
            left, row = room.pop(place)
        else:
            left, row = size, len(rows)
            rows.append([])
        rows[row].append(number)
        if left > length:
            entry = (left - length, row)
            room.insert(bisect_left(room, entry), entry)
    return rows


def joined(documents: Sequence[Example]) -> Example:
    """Documents as one row. Nothing foretells the first token of a document, so it is not learned."""
    ids, labels, learned = [], [], []
    for each in documents:
        ids += each.input_ids
        labels += [IGNORE_INDEX, *each.labels[1:]]
        learned += each.learned
    return Example(ids, labels, len(ids), learned, parts=tuple(len(each.input_ids) for each in documents))
