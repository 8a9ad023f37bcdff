"""One column of a kept table, read without the others: of a million rows one column is a small part."""

import json
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from studio.data.parquet_store import KEY


def column_of(path: Path, name: str, rows: Collection[int] | None = None) -> Iterator[tuple[int, Any]]:
    """(row number, value) of a column as the file brought it; of some rows only, when they are named."""
    import pyarrow.parquet

    wanted = None if rows is None else frozenset(rows)
    number = 0
    with pyarrow.parquet.ParquetFile(path) as file:
        as_json = json.loads((file.metadata.metadata or {})[KEY])["as_json"]
        for group in range(file.num_row_groups):
            here = range(number + 1, number + 1 + file.metadata.row_group(group).num_rows)
            number = here[-1] if here else number
            if wanted is not None and wanted.isdisjoint(here):
                continue
            values = file.read_row_group(group, columns=[name]).column(0).to_pylist()
            packed = name in as_json[group]
            for row, value in zip(here, values, strict=True):
                if wanted is None or row in wanted:
                    yield row, json.loads(value) if packed and value is not None else value


def rows_with(path: Path, name: str, words: str, text: Callable[[Any], str]) -> "array[int]":
    """Rows whose `text` of a column holds some words, in any case: all rows are looked at, most by Arrow alone."""
    import pyarrow.compute
    import pyarrow.parquet

    found, words, before = array("Q"), words.lower(), 0
    with pyarrow.parquet.ParquetFile(path) as file:
        as_json = json.loads((file.metadata.metadata or {})[KEY])["as_json"]
        for group in range(file.num_row_groups):
            values = file.read_row_group(group, columns=[name]).column(0)
            packed = name in as_json[group]
            likely: Iterable[int] = range(len(values))
            if not packed:
                holds = pyarrow.compute.match_substring(values, words, ignore_case=True)
                likely = pyarrow.compute.indices_nonzero(holds.fill_null(False)).to_pylist()
            for at in likely:
                value = values[at].as_py()
                if words in text(json.loads(value) if packed and value is not None else value).lower():
                    found.append(before + at + 1)
            before += len(values)
    return found


def is_among(rows: Sequence[int], row: int) -> bool:
    """Whether a row is among rows in order."""
    at = bisect_left(rows, row)
    return at < len(rows) and rows[at] == row
