"""Parquet, as other programs write it: read in batches, values turned into what JSON knows."""

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from studio.data.formats.base import Format, Reading
from studio.data.packing import BLOCK, Builder
from studio.data.table import Table
from studio.schema.errors import StudioError


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


def _read(path: Path, name: str, how: Reading) -> Table:
    import pyarrow
    import pyarrow.parquet

    builder = Builder(name, "parquet")
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
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
