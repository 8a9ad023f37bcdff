"""Packing: short documents share a row, so there are fewer and fuller rows. Each document attends only to itself."""

from bisect import bisect_left
from collections.abc import Sequence

from studio.schema.config import TrainingConfig
from studio.tasks import Example, task_named
from studio.tasks.base import IGNORE_INDEX
from studio.training.methods import learns_virtual_tokens


def uses_packing(config: TrainingConfig) -> bool:
    """Whether the rows of a run are packed. Virtual tokens precede a row, so with them a row must be one text."""
    return task_named(config.task).packs and config.packing and not learns_virtual_tokens(config.method)


def pack_documents(examples: Sequence[Example], size: int) -> list[list[Example]]:
    """Rows of documents with at most `size` tokens in total."""
    return [[examples[n] for n in row] for row in best_fit([len(each.input_ids) for each in examples], size)]


def best_fit(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Indices of the lengths that share a row. Best fit, longest first: each goes where the least space is left."""
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []
    """(free tokens, row), sorted."""
    for index in sorted(range(len(lengths)), key=lambda each: -lengths[each]):
        length = lengths[index]
        slot = bisect_left(free, (length, -1))
        if slot < len(free):
            space, row = free.pop(slot)
        else:
            space, row = size, len(rows)
            rows.append([])
        rows[row].append(index)
        if space > length:
            entry = (space - length, row)
            free.insert(bisect_left(free, entry), entry)
    return rows


def join_documents(documents: Sequence[Example]) -> Example:
    """Documents as one row. The first token of a document has no context, so its loss is ignored."""
    ids, labels, learned = [], [], []
    for each in documents:
        ids += each.input_ids
        labels += [IGNORE_INDEX, *each.labels[1:]]
        learned += each.learned
    return Example(ids, labels, len(ids), learned, parts=tuple(len(each.input_ids) for each in documents))
