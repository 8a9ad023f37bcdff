"""One column of a kept table, read without the others: of a million rows one column is a small part."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from studio.data.kept import KEY


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
