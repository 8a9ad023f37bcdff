"""What lies on the desk when somebody labels: the dataset's version, the kind of work, its columns, and the board.

Which work and which columns were chosen is a draft of the workspace, so that a reload finds them again. Which row is on
whose screen is known here alone: it is worth nothing after a restart.
"""

import time
from array import array
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.data.column import column_of, rows_with
from studio.data.table import Row
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError, named
from studio.schema.labeling import Suggestion
from studio.services.context import Context
from studio.services.datasets.service import Datasets
from studio.services.labeling.label_tasks import LABELS, WORKS, WorkKind, unavailable_reason, work_for
from studio.services.labeling.order import ORDERS, Order, Queue
from studio.services.labeling.progress import LabelingProgress
from studio.services.labeling.repository import BoardRepository, row_of

AWAY = 180.0
"""Seconds after which a row that is on somebody's screen may be given to another person."""
LONGEST_NAME = 40


@dataclass(frozen=True)
class Shown:
    """The row on a person's screen, with the suggestion beside it."""

    row: int
    suggestion: Suggestion | None
    since: float
    opened: bool = False
    """The person asked for this very row."""


@dataclass(frozen=True)
class LabelingSession:
    """A dataset as it is worked on."""

    record: DatasetRecord
    path: Path
    work: WorkKind
    columns: dict[str, str]
    board: LabelingProgress
    own: dict[int, str]
    """Row → what it came with, by its first name."""

    @property
    def key(self) -> tuple[str, int, str]:
        """Dataset, version, work."""
        return self.record.id, self.record.version, self.work.name

    def new(self) -> dict[int, str]:
        """Row → what stands, where the dataset itself holds something else."""
        empty, final = self.work.empty, self.board.final
        rows = (
            final if self.board.renamed else self.board.marks
        )  # without a new name only rows that were given something
        return {row: final[row] for row in rows if row in final and self.own.get(row, empty) != final[row]}

    def row(self, number: int) -> Row:
        """A row of the version."""
        return row_of(self.path, number)

    def text(self, number: int) -> str:
        """What a person is shown of a row."""
        return self.work.text(self.row(number), self.columns)

    def texts(self, numbers: Collection[int]) -> dict[int, str]:
        """The same of many rows in one pass, by the first column that is read."""
        column = next(iter(self.columns.values()))
        values = column_of(self.path, column, numbers)
        return {number: self.work.text({column: value}, self.columns) for number, value in values}

    def holding(self, words: str) -> "array[int]":
        """Rows whose text, by the first column that is read, holds some words."""
        column = next(iter(self.columns.values()))
        return _holding(self.path, column, words, self.work.name, tuple(self.columns.items()))


@lru_cache(maxsize=8)
def _holding(path: Path, column: str, words: str, work: str, columns: tuple[tuple[str, str], ...]) -> "array[int]":
    """A version never changes, so what was found may be kept for the next page."""
    return rows_with(path, column, words, lambda value: WORKS[work].text({column: value}, dict(columns)))


class LabelingSessions:
    """The desks of a workspace, and who has which row on the screen."""

    def __init__(self, context: Context, datasets: Datasets) -> None:
        self.datasets = datasets
        self.drafts = context.workspace.drafts
        self.keeper = BoardRepository(datasets.store, context.workspace.labels)
        self._shown: dict[tuple[str, int, str], dict[str, Shown]] = {}
        self._queues: dict[tuple[Any, ...], tuple[LabelingProgress, Queue]] = {}

    def of(self, dataset: str) -> LabelingSession:
        """What lies there now. While nobody chose a kind of work, it follows the task."""
        record = self.datasets.store.get(dataset)
        draft = self.draft(dataset)
        work = WORKS[draft.get("work") or work_for(draft.get("task") or (record.spec.task if record.spec else ""))]
        columns = self.columns_of(record, work, draft)
        if unavailable_reason(work, columns) and not draft.get("work"):
            work = LABELS
            columns = self.columns_of(record, work, draft)
        path = self.datasets.store.rows_path(record.id, record.version)
        if lacking := unavailable_reason(work, columns):
            raise StudioError("columns-unclear", lacking, valid=record.columns)
        board, own = self.keeper.board(record, work.name, columns)
        return LabelingSession(record, path, work, columns, board, own)

    def columns_of(self, record: DatasetRecord, work: WorkKind, draft: Mapping[str, Any]) -> dict[str, str]:
        """The columns that the work reads and writes: as chosen, else as they suggest themselves."""
        path = self.datasets.store.rows_path(record.id, record.version)
        chosen = draft.get("columns", {}).get(work.name, {})
        return {**_guess(path, work.name), **{w: c for w, c in chosen.items() if c in ("", *record.columns)}}

    # --- what was chosen ---

    def draft(self, dataset: str) -> dict[str, Any]:
        """Work, columns and orders as they were chosen."""
        return dict(self.drafts.get(f"labelling:{dataset}") or {})

    def follow(self, dataset: str, task: str) -> None:
        """The person has chosen another task: what is given to rows follows it, until they choose."""
        self.datasets.store.get(dataset)
        draft = self.draft(dataset)
        if task and draft.get("task") != task:
            self.drafts.put(f"labelling:{dataset}", {**draft, "task": task, "work": ""})

    def choose_work(self, dataset: str, work: WorkKind) -> None:
        """Do another kind of work with the rows."""
        record = self.datasets.store.get(dataset)
        if lacking := unavailable_reason(work, self.columns_of(record, work, self.draft(dataset))):
            raise StudioError("columns-unclear", lacking, valid=record.columns)
        self.drafts.put(f"labelling:{dataset}", {**self.draft(dataset), "work": work.name})

    def choose_column(self, dataset: str, work: WorkKind, what: str, column: str) -> None:
        """Read or write another column."""
        record = self.datasets.store.get(dataset)
        if what not in {each for each, _, _ in work.columns}:
            raise StudioError(
                "unknown-name",
                "That is nothing that is read or written.",
                given=what,
                valid=[each for each, _, _ in work.columns],
            )
        if column and column not in record.columns:
            raise StudioError("columns-unclear", f"There is no column {column}.", valid=record.columns)
        draft = self.draft(dataset)
        columns = draft.get("columns", {})
        chosen = {**columns.get(work.name, {}), what: column}
        self.drafts.put(f"labelling:{dataset}", {**draft, "columns": {**columns, work.name: chosen}})

    def choose_order(self, dataset: str, order: str, labeller: str) -> None:
        """Have the rows come in another order for one person."""
        named(ORDERS, order, "order", field="order")
        draft = self.draft(dataset)
        self.drafts.put(f"labelling:{dataset}", {**draft, "orders": {**draft.get("orders", {}), labeller: order}})

    def order(self, desk: LabelingSession, labeller: str, suggested: Mapping[int, Suggestion]) -> Order:
        """The order for a person: as chosen, else the least sure rows first; replies that all have are reviewed."""
        chosen = self.draft(desk.record.id).get("orders", {}).get(labeller, "")
        if chosen in ORDERS and ORDERS[chosen].offered(desk.board, labeller, suggested):
            return ORDERS[chosen]
        if len(desk.board.brought) == desk.record.rows and desk.work is not LABELS:
            return ORDERS["review"]
        return ORDERS["least-sure" if suggested else "file"]

    # --- whose row is which ---

    def shown(self, desk: LabelingSession, labeller: str) -> Shown | None:
        """What is on a person's screen."""
        return self._shown.get(desk.key, {}).get(labeller)

    def show(
        self, desk: LabelingSession, labeller: str, row: int | None, suggestion: Suggestion | None, opened: bool
    ) -> None:
        """Put a row on a person's screen, or none."""
        screens = self._shown.setdefault(desk.key, {})
        if row is None:
            screens.pop(labeller, None)
        else:
            screens[labeller] = Shown(row, suggestion, time.monotonic(), opened)

    def next(
        self, desk: LabelingSession, labeller: str, order: Order, suggested: Mapping[int, Suggestion], mark: str
    ) -> int | None:
        """The row to do now: the one on the screen while it is wanted, else the next of the order."""
        recent = time.monotonic() - AWAY
        screens = self._shown.get(desk.key, {})
        taken = {each.row for name, each in screens.items() if name not in ("", labeller) and each.since > recent}
        seen = self.shown(desk, labeller)
        gone = not labeller and seen is not None and seen.row in taken  # who had no name has given one meanwhile
        if seen and not gone and (seen.opened or order.wants(desk.board, seen.row, labeller)):
            return seen.row
        return self._queue(desk, labeller, order, suggested, mark).next(
            desk.board, labeller, taken if order.skipped_last else ()
        )

    def _queue(
        self, desk: LabelingSession, labeller: str, order: Order, suggested: Mapping[int, Suggestion], mark: str
    ) -> Queue:
        if not order.skipped_last:
            return Queue(order, order.rows(desk.board, labeller, suggested))
        key = (*desk.key, labeller, order.name, mark if order.name == "least-sure" else "")
        kept = self._queues.get(key)
        if kept is None or kept[0] is not desk.board:
            others = {k: v for k, v in self._queues.items() if k[:5] != key[:5]}
            kept = (desk.board, Queue(order, order.rows(desk.board, labeller, suggested)))
            self._queues = {**others, key: kept}
        return kept[1]


def clean_name(name: str) -> str:
    """A labeller's name: short, without what can't be seen."""
    return "".join(letter for letter in name if letter.isprintable()).strip()[:LONGEST_NAME].strip()


@lru_cache(maxsize=64)
def _guessed(path: Path, work: str) -> tuple[tuple[str, str], ...]:
    from studio.data.parquet_store import open_parquet

    return tuple(WORKS[work].guess(open_parquet(path)).items())


def _guess(path: Path, work: str) -> dict[str, str]:
    return dict(_guessed(path, work))
