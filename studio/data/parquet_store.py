"""A table as the store keeps it: one Parquet file, written in one pass and read a page at a time.

Every column is text; what was no text is JSON, and the file's own metadata says where (by row group), so that values
come back as they were. The metadata also keeps format, encoding, notes and bad lines.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from studio.data.columnar import SLICE, packed, unpack
from studio.data.limits import HARD, ReadLimits
from studio.data.table import Table
from studio.schema.dataset import BadLine
from studio.schema.errors import StudioError

KEY = b"studio"


def write_parquet(table: Table, path: Path, limits: ReadLimits = HARD) -> None:
    """Write all rows; memory holds one block of them. Rows that no reader measured are refused beyond the limits."""
    import pyarrow
    import pyarrow.parquet

    columns = table.columns
    schema = pyarrow.schema([(column, pyarrow.string()) for column in columns])
    as_json: list[list[str]] = []
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch, names in packed(table, limits):
            writer.write_batch(batch, row_group_size=batch.num_rows)
            as_json.append(sorted(names))
        about = {
            "format": table.format,
            "encoding": table.encoding,
            "delimiter": table.delimiter,
            "notes": table.notes,
            "bad_lines": [bad.model_dump() for bad in table.bad_lines],
            "as_json": as_json,
        }
        writer.add_key_value_metadata({KEY.decode(): json.dumps(about)})


class _OnDisk:
    """Row groups of a kept file, opened anew for each reading."""

    travels = True

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
                whole = file.read_row_group(group).combine_chunks().slice(skip)
                names = frozenset(self.as_json[group])
                for batch in whole.to_batches():
                    for at in range(0, batch.num_rows, SLICE):
                        yield from unpack(batch.slice(at, SLICE), names, self.columns)
                skip = 0


def open_parquet(path: Path) -> Table:
    """The table that `write_parquet` wrote; no row is read yet."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            metadata = file.metadata
            columns = list(file.schema_arrow.names)
            groups = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
            about = json.loads((metadata.metadata or {})[KEY])
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise StudioError(
            "unreadable-file", f"The kept rows in {path.name} can't be read.", hint="Bring the data again."
        ) from error
    return Table(
        columns,
        _OnDisk(path, columns, groups, about["as_json"]),
        format=about["format"],
        encoding=about["encoding"],
        delimiter=about["delimiter"],
        notes=about["notes"],
        bad_lines=[BadLine(**bad) for bad in about["bad_lines"]],
    )
