"""Storage of a table as one Parquet file, which is written in one pass and read a page at a time.

Every column is text. Other values are JSON, and the file's metadata lists these columns by row group, so that values
come back unchanged. The metadata also holds format, encoding, notes and bad lines.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from studio.data.columnar import SLICE, packed, unpack
from studio.data.formats.parquet import BATCH, check_footer
from studio.data.limits import HARD, NESTING, ReadLimits, depth_of, too_deep
from studio.data.table import Table, TableInfo
from studio.schema.dataset import BadLine
from studio.schema.errors import StudioError

KEY = b"studio"
MANY = 10_000
"""Rows of a group that several threads decode."""


def write_parquet(table: Table, path: Path, limits: ReadLimits = HARD) -> None:
    """Write all rows to a file, one block at a time. Raise `StudioError` for rows beyond the limits."""
    import pyarrow
    import pyarrow.parquet

    columns = table.columns
    schema = pyarrow.schema([(column, pyarrow.string()) for column in columns])
    as_json: list[list[str]] = []
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch, json_columns in packed(table, limits):
            writer.write_batch(batch, row_group_size=batch.num_rows)
            as_json.append(sorted(json_columns))
        info = {
            "format": table.format,
            "encoding": table.encoding,
            "delimiter": table.delimiter,
            "notes": table.notes,
            "bad_lines": [bad.model_dump() for bad in table.bad_lines],
            "as_json": as_json,
        }
        writer.add_key_value_metadata({KEY.decode(): json.dumps(info)})


class _OnDisk:
    """Row groups of a stored file. Each read opens the file again."""

    shareable = True

    def __init__(
        self, path: Path, columns: Sequence[str], groups: Sequence[int], as_json: Sequence[Sequence[str]]
    ) -> None:
        self.path, self.columns, self.groups, self.as_json = path, columns, groups, as_json

    def __len__(self) -> int:
        return sum(self.groups)

    def values(self, start: int) -> Iterator[Sequence[Any]]:
        import pyarrow.parquet

        skip = start - 1
        with pyarrow.parquet.ParquetFile(self.path) as file:
            for group, rows in enumerate(self.groups):
                if skip >= rows:
                    skip -= rows
                    continue
                # For few rows, handing them to other threads takes longer than decoding them.
                remaining = file.read_row_group(group, use_threads=rows > MANY).combine_chunks().slice(skip)
                json_columns = frozenset(self.as_json[group])
                for batch in remaining.to_batches():
                    for offset in range(0, batch.num_rows, SLICE):
                        yield from unpack(batch.slice(offset, SLICE), json_columns, self.columns)
                skip = 0


def check_stored(path: Path, name: str, limits: ReadLimits) -> None:
    """Raise `StudioError` for a file of `write_parquet` from elsewhere that has more than an import may have.

    The rows are decoded a few at a time, because a small file can hold a lot of equal text.
    """
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(path) as file:
        metadata = file.metadata
        check_footer(metadata, path.stat().st_size, name, limits)
        if not all(pyarrow.types.is_string(each.type) for each in file.schema_arrow):
            raise StudioError("unreadable-file", f"{name} has a column that is not text.", hint="Export it again.")
        as_json = json.loads((metadata.metadata or {})[KEY])["as_json"]
        decoded, row = 0, 1
        for group in range(metadata.num_row_groups):
            for batch in file.iter_batches(BATCH, row_groups=[group], use_threads=False):
                decoded += batch.nbytes
                limits.check_decoded(name, decoded)
                for column, values in zip(batch.schema.names, batch.columns, strict=True):
                    _check_lengths(values, name, row, column, limits)
                    if column in as_json[group]:
                        _check_nesting(values, name, row)
                row += batch.num_rows


def _check_lengths(values: Any, name: str, start: int, column: str, limits: ReadLimits) -> None:
    """Raise `StudioError` if a cell of a column is too long. `start`: number of its first row."""
    import pyarrow.compute

    lengths = pyarrow.compute.utf8_length(values)
    longest = pyarrow.compute.max(lengths).as_py() or 0
    if longest > limits.cell_characters:
        limits.check_cell(name, start + pyarrow.compute.index(lengths, longest).as_py(), column, longest)


def _check_nesting(values: Any, name: str, start: int) -> None:
    """Raise `StudioError` if a cell of a column of JSON is nested too deeply to be read."""
    for row, value in enumerate(values, start):
        text = value.as_py() or ""
        if text.count("[") + text.count("{") > NESTING and _is_too_deep(text):
            raise too_deep(name, row)


def _is_too_deep(text: str) -> bool:
    try:
        return depth_of(json.loads(text)) > NESTING
    except RecursionError:
        return True


def open_parquet(path: Path) -> Table:
    """Return the table from a file of `write_parquet`. Rows are read later. Raise `StudioError` if it is damaged."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            metadata = file.metadata
            columns = list(file.schema_arrow.names)
            groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
            info = json.loads((metadata.metadata or {})[KEY])
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise StudioError(
            "unreadable-file", f"The saved rows in {path.name} can't be read.", hint="Import the data again."
        ) from error
    bad_lines = tuple(BadLine(**bad) for bad in info["bad_lines"])
    table_info = TableInfo(info["format"], info["encoding"], info["delimiter"], tuple(info["notes"]), bad_lines)
    return Table(columns, _OnDisk(path, columns, groups, info["as_json"]), table_info)
