"""The order of rows. It depends only on (seed, epoch), so a resumed run reads the same batches.

With several processes, each reads its share of the batch that one process would read.
"""

import random
from collections.abc import Iterator, Sequence

MEGA = 50
"""Batches that are sorted by length together. More is faster, fewer is more random."""


def row_order(lengths: Sequence[int], batch_size: int, seed: int, epoch: int, grouped: bool) -> list[int]:
    """Row indices of one epoch.

    Grouped, rows of similar length share a batch, and the batches have a random order. The batch with the longest row
    (grouped) or the most tokens (not grouped) comes first, so the first step needs the peak memory of the run. An
    incomplete batch comes last.
    """
    rng = random.Random(f"{seed}-{epoch}")
    indices = list(range(len(lengths)))
    rng.shuffle(indices)
    if grouped:
        # At least four groups, so that a small dataset has different batches in each epoch.
        mega = batch_size * max(1, min(MEGA, len(indices) // (batch_size * 4)))
        groups = [indices[at : at + mega] for at in range(0, len(indices), mega)]
        indices = [index for group in groups for index in sorted(group, key=lambda i: lengths[i], reverse=True)]
    batches = [indices[at : at + batch_size] for at in range(0, len(indices), batch_size)]
    rest = [batches.pop()] if batches and len(batches[-1]) < batch_size else []
    if grouped:
        rng.shuffle(batches)
    if batches:
        measure = max if grouped else sum
        longest = max(range(len(batches)), key=lambda b: measure(lengths[i] for i in batches[b]))
        batches.insert(0, batches.pop(longest))
    return [index for batch in batches + rest for index in batch]


class OrderedSampler:
    """A sampler for a DataLoader. The trainer calls `set_epoch` before each epoch."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, grouped: bool) -> None:
        self.lengths, self.batch_size, self.seed, self.grouped = lengths, batch_size, seed, grouped
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(row_order(self.lengths, self.batch_size, self.seed, self.epoch, self.grouped))


def batches_per_epoch(rows: int, size: int, processes: int) -> int:
    """Batches of one epoch, of which each process reads `size` rows. A remainder with fewer rows than processes is
    added to the last batch."""
    whole, rest = divmod(rows, size * processes)
    return max(1, whole + (rest >= processes))


def batches_of_process(
    indices: Sequence[int], size: int, processes: int, rank: int, drop_remainder: bool = False
) -> list[list[int]]:
    """The batches of one of several processes. Each row of a batch goes to one process, in nearly equal shares.

    `drop_remainder` leaves out the few rows that can't be divided equally.
    """
    rows = indices[: len(indices) - len(indices) % processes] if drop_remainder else indices
    batches = batches_per_epoch(len(rows), size, processes)
    batch_rows = size * processes
    ends = [*(batch_rows * batch for batch in range(1, batches)), len(rows)]
    return [share_of_process(rows[begin:end], processes, rank) for begin, end in zip([0, *ends], ends, strict=False)]


def share_of_process(rows: Sequence[int], processes: int, rank: int) -> list[int]:
    """The rows of one process. Shares differ by at most one row."""
    return list(rows[len(rows) * rank // processes : len(rows) * (rank + 1) // processes])


def evaluation_batches(rows: int, size: int, processes: int, rank: int) -> tuple[list[list[int]], bool]:
    """The validation rows of one process as batches. All processes have equally many rows in each batch.

    Concatenated batch by batch and process by process, they are all rows in their order. The last batch is filled with
    a row that occurred before. The second value is True if this process has such a row, which must not count.
    """
    whole, rest = divmod(rows, size * processes)
    begins = [size * (batch * processes + rank) for batch in range(whole)]
    batches = [list(range(begin, begin + size)) for begin in begins]
    share, remaining = divmod(rest, processes)
    first = rows - rest
    if share:
        batches.append(list(range(first + share * rank, first + share * (rank + 1))))
    if remaining:
        batches.append([rows - remaining + rank if rank < remaining else 0])
    return batches, 0 < remaining <= rank


class DistributedBatchSampler:
    """A batch sampler for the DataLoader of one of several processes."""

    def __init__(self, sampler: OrderedSampler, size: int, processes: int, rank: int, drop_remainder: bool) -> None:
        self.sampler, self.size, self.processes, self.rank = sampler, size, processes, rank
        self.drop_remainder = drop_remainder
        self.batch_sampler = self  # Accelerate calls `set_epoch` on this attribute

    def set_epoch(self, epoch: int) -> None:
        self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        rows = len(self.sampler)
        return batches_per_epoch(
            rows - rows % self.processes if self.drop_remainder else rows, self.size, self.processes
        )

    def __iter__(self) -> Iterator[list[int]]:
        return iter(batches_of_process(list(self.sampler), self.size, self.processes, self.rank, self.drop_remainder))
