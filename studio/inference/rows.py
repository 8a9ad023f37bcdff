"""Rows of a request, read in one pass over their file."""

import random
from collections.abc import Sequence
from pathlib import Path

from studio.schema.host import RowsRef
from studio.tasks import Row


def read_rows(ref: RowsRef) -> list[tuple[int, Row]]:
    """Return (number, row) pairs in file order. Rows outside of the numbers are not read."""
    from studio.data.parquet_store import open_parquet

    table = open_parquet(Path(ref.path))
    if ref.numbers is None:
        return list(table.numbered())
    numbers = set(ref.numbers)
    if not numbers:
        return []
    first, last = min(numbers), max(numbers)
    return [(number, row) for number, row in table.numbered(first, last - first + 1) if number in numbers]


def sample_of(numbers: Sequence[int], most: int, seed: int) -> list[int]:
    """Return at most `most` of the numbers, sorted, and always the same ones for a seed."""
    return sorted(random.Random(seed).sample(list(numbers), most)) if len(numbers) > most else list(numbers)
