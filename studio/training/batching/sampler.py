"""In which order rows are read: by (seed, pass) alone, so that a resumed run reads the very same batches.

Several processes read the batch that one process would read, each a part of it.
"""

import random
from collections.abc import Iterator, Sequence

MEGA = 50
"""Batches that are sorted by length together: more is faster, fewer is more random."""


def order(lengths: Sequence[int], batch_size: int, seed: int, epoch: int, grouped: bool) -> list[int]:
    """Row indices of one pass.

    Grouped, rows of like length share a batch; batches come in random order. The batch with the longest row (grouped)
    or the most tokens (not grouped) comes first, so that the most memory a run will need is known after its first
    step; an incomplete batch comes last.
    """
    chance = random.Random(f"{seed}-{epoch}")
    indices = list(range(len(lengths)))
    chance.shuffle(indices)
    if grouped:
        # At least four groups, or a small dataset would have the same batches in every pass.
        mega = batch_size * max(1, min(MEGA, len(indices) // (batch_size * 4)))
        groups = [indices[at : at + mega] for at in range(0, len(indices), mega)]
        indices = [index for group in groups for index in sorted(group, key=lambda i: lengths[i], reverse=True)]
    batches = [indices[at : at + batch_size] for at in range(0, len(indices), batch_size)]
    rest = [batches.pop()] if batches and len(batches[-1]) < batch_size else []
    if grouped:
        chance.shuffle(batches)
    if batches:
        most = max if grouped else sum
        longest = max(range(len(batches)), key=lambda b: most(lengths[i] for i in batches[b]))
        batches.insert(0, batches.pop(longest))
    return [index for batch in batches + rest for index in batch]


class OrderedSampler:
    """A sampler for a DataLoader. The trainer calls `set_epoch` before each pass."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int, grouped: bool) -> None:
        self.lengths, self.batch_size, self.seed, self.grouped = lengths, batch_size, seed, grouped
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return iter(order(self.lengths, self.batch_size, self.seed, self.epoch, self.grouped))


def batches_a_pass(rows: int, size: int, processes: int) -> int:
    """Batches of one pass, each process reading `size` rows of one; rows too few for all join the one before."""
    whole, rest = divmod(rows, size * processes)
    return max(1, whole + (rest >= processes))


def shared_out(indices: Sequence[int], size: int, processes: int, number: int, evenly: bool = False) -> list[list[int]]:
    """The batches of one process among several: of each batch of all a part alike large, each row in one of them.

    `evenly` leaves the few rows out of a pass that can't be shared out alike.
    """
    rows = indices[: len(indices) - len(indices) % processes] if evenly else indices
    batches = batches_a_pass(len(rows), size, processes)
    together = size * processes
    ends = [*(together * batch for batch in range(1, batches)), len(rows)]
    return [part_of(rows[begin:end], processes, number) for begin, end in zip([0, *ends], ends, strict=False)]


def part_of(rows: Sequence[int], processes: int, number: int) -> list[int]:
    """The rows of one process: as many as any other's, or one more."""
    return list(rows[len(rows) * number // processes : len(rows) * (number + 1) // processes])


def checked_by(rows: int, size: int, processes: int, number: int) -> tuple[list[list[int]], bool]:
    """The rows that one process looks at in a check, batch by batch: all processes have alike many in each.

    Put together batch by batch, process by process, they are all rows in their order. The last batch is filled up with
    a row that was there before; True says that this process has one of these, which must not count.
    """
    whole, rest = divmod(rows, size * processes)
    begins = [size * (batch * processes + number) for batch in range(whole)]
    batches = [list(range(begin, begin + size)) for begin in begins]
    each, left = divmod(rest, processes)
    done = rows - rest
    if each:
        batches.append(list(range(done + each * number, done + each * (number + 1))))
    if left:
        batches.append([rows - left + number if number < left else 0])
    return batches, 0 < left <= number


class SharedSampler:
    """A batch sampler for the DataLoader of one process among several."""

    def __init__(self, sampler: OrderedSampler, size: int, processes: int, number: int, evenly: bool) -> None:
        self.sampler, self.size, self.processes, self.number = sampler, size, processes, number
        self.evenly = evenly
        self.batch_sampler = self  # where the library looks for what must be told of a new pass

    def set_epoch(self, epoch: int) -> None:
        self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        rows = len(self.sampler)
        return batches_a_pass(rows - rows % self.processes if self.evenly else rows, self.size, self.processes)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(shared_out(list(self.sampler), self.size, self.processes, self.number, self.evenly))
