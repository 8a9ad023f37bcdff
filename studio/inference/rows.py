"""The rows that a request names, read in one pass over their file."""

import random
from collections.abc import Sequence
from pathlib import Path

from studio.schema.host import RowsRef
from studio.tasks import Row


def read_rows(ref: RowsRef) -> list[tuple[int, Row]]:
    """(number, row) in the order of the file."""
    from studio.data.parquet_store import open_parquet

    table = open_parquet(Path(ref.path))
    if ref.numbers is None:
        return list(table.numbered())
    wanted = set(ref.numbers)
    return [(number, row) for number, row in table.numbered() if number in wanted]


def some_of(numbers: Sequence[int], most: int, seed: int) -> list[int]:
    """At most so many of them, the same ones for the same seed, in order."""
    return sorted(random.Random(seed).sample(list(numbers), most)) if len(numbers) > most else list(numbers)
