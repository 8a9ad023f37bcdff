"""Parts that a file brings with it: a column that says of each row whether it is for training, validation or test."""

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
"""What parts are called in files that bring their own."""
NO_COLUMN = "none"
"""Said instead of a column: the file's own parts are not looked at."""
SPLIT_COLUMNS = ("split", "fold", "set", "partition", "subset", "part")


def split_name(value: Any) -> SplitName | None:
    """The part that a cell of a split column names."""
    return SPLIT_NAMES.get(str(value).strip().lower()) if value is not None else None


def split_column_of(table: Table) -> str | None:
    """The column in which the file says which part each row belongs to, when it has one."""
    named = [column for name in SPLIT_COLUMNS for column in table.columns if column.strip().lower() == name]
    rows = table.sample() if named else []
    for column in named:
        values = [row[column] for row in rows if not is_blank(row[column])]
        if values and all(split_name(value) for value in values):
            return column
    return None
