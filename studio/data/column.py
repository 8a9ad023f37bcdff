"""One column of a stored table, read without the others. One column of a million rows is a small part of the file."""

import json
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.data.parquet_store import KEY


def column_of(path: Path, name: str, rows: Collection[int] | None = None) -> Iterator[tuple[int, Any]]:
    """Yield (row number, value) of a column, for all rows or only for `rows`. Values are as in the original file."""
    import pyarrow.parquet

    selected = None if rows is None else frozenset(rows)
    number = 0
    with pyarrow.parquet.ParquetFile(path) as file:
        as_json = json.loads((file.metadata.metadata or {})[KEY])["as_json"]
        for group in range(file.num_row_groups):
            group_rows = range(number + 1, number + 1 + file.metadata.row_group(group).num_rows)
            number = group_rows[-1] if group_rows else number
            if selected is not None and selected.isdisjoint(group_rows):
                continue
            values = file.read_row_group(group, columns=[name]).column(0).to_pylist()
            is_json = name in as_json[group]
            for row, value in zip(group_rows, values, strict=True):
                if selected is None or row in selected:
                    yield row, json.loads(value) if is_json and value is not None else value


def rows_with(path: Path, name: str, words: str, text: Callable[[Any], str]) -> "array[int]":
    """Return the numbers of rows whose `text` of a column contains `words`, ignoring case. Arrow does most of it."""
    import pyarrow.compute
    import pyarrow.parquet

    matches, words, before = array("Q"), words.lower(), 0
    with pyarrow.parquet.ParquetFile(path) as file:
        as_json = json.loads((file.metadata.metadata or {})[KEY])["as_json"]
        for group in range(file.num_row_groups):
            values = file.read_row_group(group, columns=[name]).column(0)
            is_json = name in as_json[group]
            candidates: Iterable[int] = range(len(values))
            if not is_json:
                holds = pyarrow.compute.match_substring(values, words, ignore_case=True)
                candidates = pyarrow.compute.indices_nonzero(holds.fill_null(False)).to_pylist()
            for index in candidates:
                value = values[index].as_py()
                if words in text(json.loads(value) if is_json and value is not None else value).lower():
                    matches.append(before + index + 1)
            before += len(values)
    return matches


@lru_cache(maxsize=8)
def moved_rows(old: Path, new: Path, name: str) -> dict[int, int]:
    """Return row of an old table → row of the new one with the same cell in a column. Equal cells keep their order.

    The result is cached, because a stored table never changes.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for row, value in column_of(new, name):
        places[str(value)].append(row)
    unused = {text: iter(rows) for text, rows in places.items()}
    pairs = ((row, next(unused.get(str(value), iter(())), None)) for row, value in column_of(old, name))
    return {row: place for row, place in pairs if place is not None}


def is_among(rows: Sequence[int], row: int) -> bool:
    """Return whether `row` is in the sorted sequence `rows`."""
    index = bisect_left(rows, row)
    return index < len(rows) and rows[index] == row
