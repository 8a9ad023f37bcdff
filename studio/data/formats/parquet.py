"""Parquet, as other programs write it: read in batches, values turned into what JSON knows."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from studio.data.formats.archive import MOST_RATIO, swells
from studio.data.formats.base import Format, Reading
from studio.data.packing import BLOCK, Builder
from studio.data.table import Table
from studio.schema.errors import StudioError

MOST_GROUP = 2 << 30
"""Bytes of a row group, which is unpacked as a whole."""
MOST_CELLS = 1_000_000_000


def plain(value: Any) -> Any:
    """A value as JSON knows it: dates as ISO text, bytes as text."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def _require_size(metadata: Any, path: Path, name: str) -> None:
    """Refuse a file that would grow beyond measure, by what it says of itself, before any row is read."""
    groups = [metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)]
    size, packed = sum(groups), path.stat().st_size
    cells = metadata.num_rows * metadata.num_columns
    if max(groups, default=0) > MOST_GROUP or swells(size, packed) or cells > MOST_CELLS:
        raise StudioError(
            "too-large",
            f"{name} would grow to {size / 1e6:,.0f} MB when unpacked.",
            given=f"{packed / 1e6:,.1f} MB, {metadata.num_rows:,} rows in {len(groups):,} groups",
            valid=f"groups of {MOST_GROUP / 1e6:,.0f} MB, {MOST_RATIO} times its size and {MOST_CELLS:,} cells at most",
            hint="Save it in smaller row groups, or bring a part of the rows.",
        )


def _read(path: Path, name: str, how: Reading) -> Table:
    import pyarrow
    import pyarrow.parquet

    builder = Builder(name, "parquet")
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _require_size(file.metadata, path, name)
            columns = file.schema_arrow.names
            builder.set_columns(columns)
            for batch in file.iter_batches(BLOCK):
                lists = [[plain(value) for value in column.to_pylist()] for column in batch.columns]
                for row in zip(*lists, strict=True):
                    builder.add(row)
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise StudioError(
            "unreadable-file",
            f"{name} can't be read as Parquet.",
            given=str(error).splitlines()[0][:200] if str(error) else None,
            hint="Check that the file is whole, or save the rows anew.",
        ) from error
    return builder.table()


PARQUET = Format("parquet", "Parquet", (".parquet", ".pq"), _read)
