"""Parquet files from other programs.

The footer is checked before rows are read. Rows are read in small batches whose size is checked, because equal values
take little space in a file and their full size in memory. Values are converted to JSON types.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from studio.data.columnar import Builder
from studio.data.formats.archive import MOST_RATIO, is_bomb
from studio.data.formats.base import Format, Reading, ReadLimits
from studio.data.table import Table
from studio.schema.errors import StudioError

MOST_GROUP = 2 << 30
"""Maximum bytes of a row group before decoding."""
MOST_VALUES = 1_000_000_000
VALUE_BYTES = 4
"""Minimum bytes of a value in memory."""
FREE_ROWS = 1_000_000
MOST_ROWS_PER_BYTE = 10
"""Maximum rows for each byte of a file, beyond its first `FREE_ROWS`. With more, nearly all rows are equal."""
BATCH = 1_000
"""Number of rows decoded at once. A short value in the file can be long in every row."""
PIECE_BYTES = 16 << 20
"""Bytes of decoded rows converted to Python values at once."""


def to_plain(value: Any) -> Any:
    """Return a value as JSON types: dates as ISO text, bytes as text, others as numbers or strings."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(each) for each in value]
    return _scalar_to_plain(value)


def _scalar_to_plain(value: Any) -> Any:
    """Return a single value that JSON has no type for as text or a number."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def check_footer(metadata: Any, packed: int, name: str, limits: ReadLimits) -> None:
    """Raise `StudioError` if the footer shows that a file would be too large when decoded."""
    limits.check_columns(name, len(metadata.schema.to_arrow_schema().names))
    limits.check_rows(name, metadata.num_rows)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    sizes = [group.total_byte_size for group in groups]
    # of nested columns each row has as many values as its lists are long
    values = sum(group.column(place).num_values for group in groups for place in range(group.num_columns))
    size = max(sum(sizes), values * VALUE_BYTES)
    limits.check_decoded(name, size)
    mostly_equal = metadata.num_rows > FREE_ROWS + MOST_ROWS_PER_BYTE * packed
    if max(sizes, default=0) > MOST_GROUP or is_bomb(sum(sizes), packed) or values > MOST_VALUES or mostly_equal:
        raise StudioError(
            "too-large",
            f"{name} would grow to {size / 1e6:,.0f} MB or more after decoding.",
            given=f"{packed / 1e6:,.1f} MB, {metadata.num_rows:,} rows, {values:,} values, {len(groups):,} row groups",
            valid=f"row groups of {MOST_GROUP / 1e6:,.0f} MB, {MOST_RATIO} times its size, {MOST_VALUES:,} values and "
            f"{MOST_ROWS_PER_BYTE} rows for each byte at most",
            hint="Save it in smaller row groups, or import fewer rows.",
        )


def check_batches(group: Any, builder: Builder) -> None:
    """Raise `StudioError` for a row group whose batches would be too large because its lists are long."""
    values = sum(group.column(place).num_values for place in range(group.num_columns))
    share = min(1.0, BATCH / max(1, group.num_rows))
    builder.limits.check_decoded(builder.name, values * share * VALUE_BYTES)


def rows_of(batches: Iterator[Any], builder: Builder) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield the columns of a few rows at a time as lists. Decoded sizes are checked, since footers can be wrong."""
    decoded, limits = 0, builder.limits
    for batch in batches:
        decoded += batch.nbytes
        limits.check_decoded(builder.name, decoded)
        step = max(1, batch.num_rows * PIECE_BYTES // max(PIECE_BYTES, batch.nbytes))
        for start in range(0, batch.num_rows, step):
            piece = batch.slice(start, step)
            if step == 1:
                _check_cells(piece, builder)
            yield [column.to_pylist() for column in piece.columns]


def _check_cells(row: Any, builder: Builder) -> None:
    """Raise `StudioError` for a huge cell before it becomes Python values, which take much more memory."""
    for name, column in zip(row.schema.names, row.columns, strict=True):
        # a character has up to 4 bytes in UTF-8
        builder.limits.check_cell(builder.name, builder.count + 1, name, column.nbytes // 4)


def _read(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
    import pyarrow
    import pyarrow.parquet

    builder = Builder(name, "parquet", limits)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            check_footer(file.metadata, path.stat().st_size, name, limits)
            builder.set_columns(file.schema_arrow.names)
            for lists in rows_of(file.iter_batches(BATCH, use_threads=False), builder):
                for row in zip(*([to_plain(value) for value in values] for values in lists), strict=True):
                    builder.add(row)
    except MemoryError:  # one of pyarrow's is an ArrowException too
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise StudioError(
            "unreadable-file",
            f"{name} can't be read as Parquet.",
            given=str(error).splitlines()[0][:200] if str(error) else None,
            hint="Check that the file is complete, or save the rows again.",
        ) from error
    return builder.table()


PARQUET = Format("parquet", "Parquet", (".parquet", ".pq"), _read, sandboxed_for_visitors=True)
