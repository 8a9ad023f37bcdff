"""Rows that were made from others: how they are marked, and which part they may stand in.

A made row says in two columns how it was made and from which text. It follows its source: it is learned from when its
source is, and else left out, so that it stands neither in validation nor in test, and gives away no row that does.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from studio.data.table import Row, Source, Table

MADE_BY, MADE_FROM = "made_by", "made_from"
"""Columns: how a row was made, and the text of the row that it was made from."""
MARKS = (MADE_BY, MADE_FROM)


def is_made(row: Mapping[str, Any]) -> bool:
    """Whether a row was made from another one."""
    return bool(row.get(MADE_BY) and row.get(MADE_FROM))


def source_text(row: Mapping[str, Any]) -> str:
    """The text of the row that a made row comes from, as splits compare texts."""
    return " ".join(str(row.get(MADE_FROM) or "").split())


def parts_of_made(made: Iterable[tuple[int, str, str]], brought: Iterable[tuple[str, str, str]]) -> dict[int, bool]:
    """Made row → whether it may be learned from.

    `made`: row number, text of its source, what it expects; `brought`: text, what is expected, and part of all others.
    Where several rows share the text, those count that expect the same; all of them must be learned from.
    """
    by_text: dict[str, set[str]] = {}
    by_both: dict[tuple[str, str], set[str]] = {}
    for text, expected, part in brought:
        text = " ".join(text.split())
        by_text.setdefault(text, set()).add(part)
        by_both.setdefault((text, expected), set()).add(part)
    return {number: by_both.get((text, expected), by_text.get(text)) == {"train"} for number, text, expected in made}


class _Added:
    """The values of a table with further rows at its end."""

    travels = False

    def __init__(self, table: Table, columns: Sequence[str], rows: Sequence[Row]) -> None:
        self.table, self.columns, self.rows = table, columns, rows

    def __len__(self) -> int:
        return len(self.table) + len(self.rows)

    def values(self, start: int) -> Iterable[Sequence[Any]]:
        brought = len(self.table)
        if start <= brought:
            for _, row in self.table.numbered(start):
                yield [row.get(column) for column in self.columns]
        for row in self.rows[max(0, start - 1 - brought) :]:
            yield [row.get(column) for column in self.columns]


def with_made(table: Table, rows: Sequence[Row]) -> Table:
    """The table with made rows at its end, and the columns that mark them."""
    columns = (*table.columns, *(mark for mark in MARKS if mark not in table.columns))
    source: Source = _Added(table, columns, rows)  # type: ignore[assignment]
    return Table(
        columns,
        source,
        format=table.format,
        encoding=table.encoding,
        delimiter=table.delimiter,
        notes=table.notes,
        bad_lines=table.bad_lines,
    )
