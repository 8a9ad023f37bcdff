"""Split columns: a column that names the split of each row as train, validation or test."""

from typing import Any

from studio.data.table import Table
from studio.data.values import is_blank
from studio.schema.dataset import SplitName

SPLIT_NAMES: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "test": "test",
    "testing": "test",
}
"""Usual split names in files → the split."""
NO_COLUMN = "none"
"""Value instead of a column name: ignore the file's own splits."""
SPLIT_COLUMNS = ("split", "fold", "set", "partition", "subset", "part")


def split_name(value: Any) -> SplitName | None:
    """Return the split that a cell names, or None."""
    return SPLIT_NAMES.get(str(value).strip().lower()) if value is not None else None


def split_column_of(table: Table) -> str | None:
    """Return the column that names the split of each row, or None if the file has none."""
    named = [column for name in SPLIT_COLUMNS for column in table.columns if column.strip().lower() == name]
    rows = table.sample() if named else []
    for column in named:
        values = [row[column] for row in rows if not is_blank(row[column])]
        if values and all(split_name(value) for value in values):
            return column
    return None
