"""Parquet, as other programs write it: sized by its footer, read in small batches that are measured, values turned into
what JSON knows. Equal values take next to nothing in a file and their full size in memory: both are bounded here."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from studio.data.columnar import Builder
from studio.data.formats.archive import MOST_RATIO, swells
from studio.data.formats.base import Format, Reading, ReadLimits
from studio.data.table import Table
from studio.schema.errors import StudioError

MOST_GROUP = 2 << 30
"""Bytes of a row group before it is decoded."""
MOST_VALUES = 1_000_000_000
VALUE_BYTES = 4
"""Bytes of a value in memory, at the least."""
FREE_ROWS = 1_000_000
MOST_ROWS_PER_BYTE = 10
"""Rows for each byte of a file beyond its first `FREE_ROWS`: more means that nearly all rows are equal."""
BATCH = 1_000
"""Rows that are decoded at once: a short value in the file can be a long one in each of them."""
PIECE_BYTES = 16 << 20
"""Bytes of decoded rows that become Python values at once."""


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


def check_footer(metadata: Any, packed: int, name: str, limits: ReadLimits) -> None:
    """Refuse a file that would grow beyond measure, by what its footer says, before any row is read."""
    limits.check_columns(name, len(metadata.schema.to_arrow_schema().names))
    limits.check_rows(name, metadata.num_rows)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    sizes = [group.total_byte_size for group in groups]
    # of nested columns each row has as many values as its lists are long
    values = sum(group.column(place).num_values for group in groups for place in range(group.num_columns))
    limits.check_decoded(name, max(sum(sizes), values * VALUE_BYTES))
    equal = metadata.num_rows > FREE_ROWS + MOST_ROWS_PER_BYTE * packed
    if max(sizes, default=0) > MOST_GROUP or swells(sum(sizes), packed) or values > MOST_VALUES or equal:
        raise StudioError(
            "too-large",
            f"{name} would grow to {max(sum(sizes), values * VALUE_BYTES) / 1e6:,.0f} MB or more after decoding.",
            given=f"{packed / 1e6:,.1f} MB, {metadata.num_rows:,} rows, {values:,} values, {len(groups):,} row groups",
            valid=f"row groups of {MOST_GROUP / 1e6:,.0f} MB, {MOST_RATIO} times its size, {MOST_VALUES:,} values and "
            f"{MOST_ROWS_PER_BYTE} rows for each byte at most",
            hint="Save it in smaller row groups, or load a part of the rows.",
        )


def check_batches(group: Any, builder: Builder) -> None:
    """Refuse a row group of which one batch would not fit into memory: its lists are too long."""
    values = sum(group.column(place).num_values for place in range(group.num_columns))
    share = min(1.0, BATCH / max(1, group.num_rows))
    builder.limits.check_decoded(builder.name, values * share * VALUE_BYTES)


def rows_of(batches: Iterator[Any], builder: Builder) -> Iterator[Sequence[Sequence[Any]]]:
    """The columns of some rows at a time as lists of values; the sizes in a footer are not trusted."""
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
    """Refuse a huge cell before it becomes Python values, which take many times the memory of a number in a list."""
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
                for row in zip(*([plain(value) for value in values] for values in lists), strict=True):
                    builder.add(row)
    except MemoryError:  # one of pyarrow's is an ArrowException too
        raise
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise StudioError(
            "unreadable-file",
            f"{name} can't be read as Parquet.",
            given=str(error).splitlines()[0][:200] if str(error) else None,
            hint="Check that the file is whole, or save the rows anew.",
        ) from error
    return builder.table()


PARQUET = Format("parquet", "Parquet", (".parquet", ".pq"), _read, apart_for_visitors=True)
