"""Boards in memory: each is made from the facts once, and then takes in what is new, whoever wrote it.

Facts about an earlier version count for a later one: a row keeps what it was given when rows around it go.
"""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.data.column import column_of
from studio.data.kept import open_parquet
from studio.data.table import Row
from studio.schema.dataset import DatasetRecord
from studio.schema.labelling import Fact
from studio.services.labelling.board import Board, undone_by
from studio.services.labelling.works import WORKS, Columns, WorkKind
from studio.store.datasets import DatasetStore
from studio.store.labels import LabelStore


class Keeper:
    """The boards of a workspace's datasets."""

    def __init__(self, datasets: DatasetStore, labels: LabelStore) -> None:
        self.datasets, self.labels = datasets, labels
        self._boards: dict[tuple[Any, ...], tuple[Board, dict[int, str]]] = {}
        self._lock = threading.RLock()

    def board(self, record: DatasetRecord, work: str, columns: Columns) -> tuple[Board, dict[int, str]]:
        """How a version stands just now, and what its rows came with."""
        key = (record.id, record.version, work, *sorted(columns.items()))
        with self._lock:
            if key not in self._boards:
                self._boards = {kept: board for kept, board in self._boards.items() if kept[0] != record.id}
                self._boards[key] = self._made(record, WORKS[work], columns)
                return self._boards[key]
            board = self._boards[key][0]
            news = self.labels.after(record.id, board.last)
            if any(fact.what == "undo" for fact in news):
                self._boards[key] = self._made(record, WORKS[work], columns)
            else:
                board.take(news, self._place(record, columns))
            return self._boards[key]

    def _made(self, record: DatasetRecord, work: WorkKind, columns: Columns) -> tuple[Board, dict[int, str]]:
        own = _brought(self.datasets.rows_path(record.id, record.version), work.name, tuple(sorted(columns.items())))
        board = Board(record.rows, work.name, dict(own))
        facts = self.labels.after(record.id)
        board.take(facts, self._place(record, columns), undone_by(facts))
        return board, own

    def _place(self, record: DatasetRecord, columns: Columns) -> Callable[[Fact], int | None]:
        """Where the row of a fact stands in this version."""
        moves: dict[int, dict[int, int] | None] = {}

        def place(fact: Fact) -> int | None:
            if fact.version == record.version:
                return fact.row if fact.row <= record.rows else None
            if fact.version > record.version:
                return None
            if fact.version not in moves:
                moves[fact.version] = self._moves(record, fact.version, columns)
            moved = moves[fact.version]
            return fact.row if moved is None else moved.get(fact.row)

        return place

    def _moves(self, record: DatasetRecord, version: int, columns: Columns) -> dict[int, int] | None:
        """Row of an earlier version → row of this one with the same text; None where no row has moved."""
        earlier = self.datasets.get(record.id, version)
        if earlier.rows == record.rows:
            return None
        column = next(iter(columns.values()))
        if column not in earlier.columns:
            return {}
        paths = [self.datasets.rows_path(record.id, each) for each in (version, record.version)]
        return _moved(paths[0], paths[1], column)


@lru_cache(maxsize=8)
def _moved(old: Path, new: Path, column: str) -> dict[int, int]:
    """By text; of rows with the same text the first stays the first. A version never changes, so this may be kept."""
    places: dict[str, list[int]] = defaultdict(list)
    for row, value in column_of(new, column):
        places[str(value)].append(row)
    seen: dict[str, int] = defaultdict(int)
    found = {}
    for row, value in column_of(old, column):
        text = str(value)
        if seen[text] < len(places.get(text, ())):
            found[row] = places[text][seen[text]]
        seen[text] += 1
    return found


@lru_cache(maxsize=8)
def _brought(path: Path, work: str, columns: tuple[tuple[str, str], ...]) -> dict[int, str]:
    """Row → what it came with."""
    kind, chosen = WORKS[work], dict(columns)
    if not _has_any(kind, chosen, path):
        return {}
    column = chosen.get(kind.name)
    rows: Iterable[tuple[int, Row]] = (
        ((row, {column: cell}) for row, cell in column_of(path, column)) if column else open_parquet(path).numbered()
    )
    values = ((row, kind.brought(cells, chosen)) for row, cells in rows)
    return {row: value for row, value in values if value}


def _has_any(kind: WorkKind, columns: Columns, path: Path) -> bool:
    """Whether any row can have come with something: most files to be labelled have no column for it."""
    return bool(columns.get(kind.name)) if kind.name != "choice" else "chosen" in open_parquet(path).columns


@lru_cache(maxsize=2048)
def row_of(path: Path, number: int) -> Row:
    """A row of a version, kept for a while: the last ones are shown again and again."""
    return open_parquet(path).row(number)
