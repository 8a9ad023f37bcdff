"""Synthetic rows: their marks, and the split that they can be in.

A synthetic row has two columns that say how it was made and from which text. It is used for training if its source is.
Otherwise it is left out. So it is never in validation or test, and does not leak a row that is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from studio.data.table import Row, Table

MADE_BY, MADE_FROM = "made_by", "made_from"
"""Columns: how a row was made, and the text of its source row."""
MARKS = (MADE_BY, MADE_FROM)


def is_synthetic(row: Mapping[str, Any]) -> bool:
    """Return whether a row was made from another one."""
    return bool(row.get(MADE_BY) and row.get(MADE_FROM))


def source_text(row: Mapping[str, Any]) -> str:
    """Return the text of a synthetic row's source, normalized as splits compare texts."""
    return " ".join(str(row.get(MADE_FROM) or "").split())


def synthetic_rows_to_learn(
    synthetic: Iterable[tuple[int, str, str]], originals: Iterable[tuple[str, str, str]]
) -> dict[int, bool]:
    """Return synthetic row number → whether it can be used for training.

    `synthetic` has (row number, text of its source, expected output); `originals` has (text, expected output, split) of
    all other rows. If several rows share the text, those with the same output count. All of them must be in train.
    """
    by_text: dict[str, set[str]] = {}
    by_both: dict[tuple[str, str], set[str]] = {}
    for text, expected, split_ in originals:
        text = " ".join(text.split())
        by_text.setdefault(text, set()).add(split_)
        by_both.setdefault((text, expected), set()).add(split_)
    return {
        number: by_both.get((text, expected), by_text.get(text)) == {"train"} for number, text, expected in synthetic
    }


class _WithRows:
    """The values of a table with rows appended."""

    shareable = False

    def __init__(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        self.table, self.columns, self.rows = table, columns, rows

    def __len__(self) -> int:
        return len(self.table) + len(self.rows)

    def values(self, start: int) -> Iterator[Sequence[Any]]:
        original_count = len(self.table)
        if start <= original_count:
            for _, row in self.table.numbered(start):
                yield [row.get(column) for column in self.columns]
        for row in self.rows[max(0, start - 1 - original_count) :]:
            yield [row.get(column) for column in self.columns]


def with_synthetic(table: Table, rows: Sequence[Row]) -> Table:
    """Return the table with synthetic rows appended, and the columns that mark them."""
    columns = (*table.columns, *(mark for mark in MARKS if mark not in table.columns))
    return Table(columns, _WithRows(table, columns, rows), table.info)
