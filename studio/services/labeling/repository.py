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
from studio.data.parquet_store import open_parquet
from studio.data.table import Row
from studio.schema.dataset import DatasetRecord
from studio.schema.labeling import Fact
from studio.services.labeling.label_tasks import WORKS, Columns, WorkKind
from studio.services.labeling.progress import LabelingProgress, undone_by
from studio.store.datasets import DatasetStore
from studio.store.labels import LabelStore


class BoardRepository:
    """The boards of a workspace's datasets."""

    def __init__(self, datasets: DatasetStore, labels: LabelStore) -> None:
        self.datasets, self.labels = datasets, labels
        self._boards: dict[tuple[Any, ...], tuple[LabelingProgress, dict[int, str]]] = {}
        self._lock = threading.RLock()

    def board(self, record: DatasetRecord, work: str, columns: Columns) -> tuple[LabelingProgress, dict[int, str]]:
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
                place, own = self._place(record, columns), self._boards[key][1]
                board.take(news, place, stale=self._stale(record, WORKS[work], columns, own))
            return self._boards[key]

    def _made(self, record: DatasetRecord, work: WorkKind, columns: Columns) -> tuple[LabelingProgress, dict[int, str]]:
        own = _brought(self.datasets.rows_path(record.id, record.version), work.name, tuple(sorted(columns.items())))
        board = LabelingProgress(record.rows, work.name, dict(own))
        facts = self.labels.after(record.id)
        stale = self._stale(record, work, columns, own)
        board.take(facts, self._place(record, columns), undone_by(facts), stale)
        return board, own

    def _stale(
        self, record: DatasetRecord, work: WorkKind, columns: Columns, own: dict[int, str]
    ) -> Callable[[Fact, int], bool]:
        """Whether a cell holds something else now than when a fact was given: it was used, or edited, since then."""
        befores: dict[int, dict[int, str]] = {}

        def stale(fact: Fact, row: int) -> bool:
            if fact.version >= record.version:
                return False
            if fact.version not in befores:
                path = self.datasets.rows_path(record.id, fact.version)
                befores[fact.version] = _brought(path, work.name, tuple(sorted(columns.items())))
            return own.get(row) != befores[fact.version].get(fact.row)

        return stale

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
        column = next(iter(columns.values()))
        if earlier.asked == record.asked and earlier.rows == record.rows:
            return None
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
    column = chosen.get(kind.name)
    known = open_parquet(path).columns
    if not _has_any(kind, chosen, path) or (column and column not in known):
        return {}
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
