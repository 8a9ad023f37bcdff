"""Labeling sessions: a version of a dataset, what its rows are given, the columns, and the state of labeling."""

from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from studio.data.column import column_of, rows_with
from studio.data.parquet_store import open_parquet
from studio.data.table import Row
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.labeling import Fact, Learned, Suggestion, What
from studio.services.labeling.label_tasks import LABEL_TASKS, LABELS, PREFERENCES, Columns, LabelTask
from studio.services.labeling.order import ORDERS, Order
from studio.services.labeling.state import LabelingState, Locate
from studio.store.datasets import DatasetStore

MAX_NAME = 40
MAX_LABELS = 100
Key = tuple[tuple[str, str], ...]
"""Purpose and column, sorted: `columns` as the key of a cache."""


@dataclass(frozen=True)
class Session:
    """The current version of a dataset, as it is labeled."""

    record: DatasetRecord
    path: Path
    """The file with the rows."""
    folder: Path
    """The folder for embeddings and suggestions."""
    label_task: LabelTask
    columns: dict[str, str]
    """Purpose → column."""
    draft: dict[str, Any]
    """What people chose: label task, columns and orders."""
    state: LabelingState
    labeler: str
    """The name of the person. Empty for a person alone."""
    find_learned: Callable[["Session"], Learned | None]

    @cached_property
    def learned(self) -> Learned | None:
        """The last training of the classifier that suggests labels."""
        return self.find_learned(self)

    @property
    def suggested(self) -> Mapping[int, Suggestion]:
        """Row → its suggestion."""
        return self.learned.rows if self.learned else {}

    @property
    def key(self) -> tuple[str, int, str]:
        """Dataset, version and label task."""
        return self.record.id, self.record.version, self.label_task.name

    @property
    def text_column(self) -> str:
        """The first column that is read."""
        return next(iter(self.columns.values()))

    def fact(self, what: What, row: int = 0, value: str | None = None, **fields: Any) -> Fact:
        """Return a new fact about this version, by default of this person."""
        about = {"version": self.record.version, "work": self.label_task.name, "labeller": self.labeler, **fields}
        return Fact(what=what, row=row, value=value, **about)

    def row(self, number: int) -> Row:
        """Return a row of the version."""
        return _row(self.path, number)

    def text(self, number: int) -> str:
        """Return the text of a row that a person sees."""
        return self.label_task.text(self.row(number), self.columns)

    def texts(self, numbers: Collection[int]) -> dict[int, str]:
        """Return row → text of many rows. Reads the text column only, in one pass."""
        values = column_of(self.path, self.text_column, numbers)
        return {number: self.label_task.text({self.text_column: value}, self.columns) for number, value in values}

    def rows_containing(self, words: str) -> "array[int]":
        """Return the rows whose text contains `words`. Reads the text column only."""
        return _rows_containing(self.path, self.text_column, words, self.label_task.name, tuple(self.columns.items()))

    def typed_key(self, row: int) -> str:
        """The key of the draft of a reply that is being typed."""
        return f"typed:{self.record.id}:{self.record.version}:{row}:{self.labeler}"

    def clean(self, value: str) -> str:
        """Return a value as it is saved. Refuse one that is not valid."""
        cleaned = self.label_task.clean(value)
        if not cleaned:
            valid = "first, second or both" if self.label_task is PREFERENCES else None
            raise StudioError("bad-setting", self.label_task.refusal, given=value[:200] or "nothing", valid=valid)
        return cleaned

    def clean_all(self, labels: Sequence[str]) -> list[str]:
        """Return labels as they are saved, each once."""
        return list(dict.fromkeys(self.clean(label) for label in labels if label.strip()))

    def require_labels(self) -> "Session":
        """Refuse when rows get something else than labels."""
        if self.label_task is not LABELS:
            what = "Labels are not the current kind of labeling."
            raise StudioError("wrong-state", what, hint='Choose "Label texts".')
        return self

    def require_few(self, labels: int) -> None:
        """Refuse more labels than people can choose from."""
        if labels > MAX_LABELS:
            what = "There are too many labels to choose from."
            raise StudioError("too-many-labels", what, given=labels, valid=f"up to {MAX_LABELS}")

    def rows_of(self, label: str) -> int:
        """Return the number of rows with a label. Refuse a label that does not exist."""
        if label not in self.require_labels().state.labels:
            raise StudioError("unknown-name", f"There is no label {label}.", valid=self.state.labels)
        return self.state.counts[label]

    def order(self) -> Order:
        """Return the order that the person chose. Default: least sure first, or a review if all rows had values."""
        chosen = ORDERS.get(self.draft.get("orders", {}).get(self.labeler, ""))
        if chosen and chosen.is_offered(self):
            return chosen
        if len(self.state.initial) == self.record.rows and self.label_task is not LABELS:
            return ORDERS["review"]
        return ORDERS["least-sure" if self.suggested else "file"]


def clean_name(name: str) -> str:
    """Return a person's name without characters that are invisible, at most 40 characters."""
    return "".join(character for character in name if character.isprintable()).strip()[:MAX_NAME].strip()


def columns_of(record: DatasetRecord, path: Path, label_task: LabelTask, draft: Mapping[str, Any]) -> dict[str, str]:
    """Return purpose → column: as chosen, else as the names and values suggest."""
    chosen = draft.get("columns", {}).get(label_task.name, {})
    known = {purpose: column for purpose, column in chosen.items() if column in ("", *record.columns)}
    return {**_guess(path, label_task.name), **known}


def require_known_columns(record: DatasetRecord, label_task: LabelTask, columns: Columns) -> None:
    """Refuse columns that the dataset or the label task does not have."""
    purposes = [purpose for purpose, _, _ in label_task.columns]
    for purpose, column in columns.items():
        if purpose not in purposes:
            what = "This is not a kind of column for this labeling."
            raise StudioError("unknown-name", what, given=purpose, valid=purposes)
        if column and column not in record.columns:
            raise StudioError("columns-unclear", f"There is no column {column}.", valid=record.columns)


def require_columns(record: DatasetRecord, label_task: LabelTask, columns: Columns) -> None:
    if reason := label_task.unavailable_reason(columns):
        raise StudioError("columns-unclear", reason, valid=record.columns)


def new_state(path: Path, record: DatasetRecord, label_task: LabelTask, columns: Columns) -> LabelingState:
    """Return the state of a version before any fact."""
    original = _initial_values(path, label_task.name, _key(columns))
    return LabelingState(record.rows, label_task.name, original, label_task.unlabeled)


def locate_in(store: DatasetStore, record: DatasetRecord, columns: Columns, state: LabelingState) -> Locate:
    """Return the function that finds the rows of facts about earlier versions in this one.

    A row keeps its values when other rows are removed. A value is outdated if the row's cell has changed since.
    """
    column = next(iter(columns.values()))

    @cache
    def earlier(version: int) -> tuple[dict[int, int] | None, dict[int, str]]:
        old = store.get(record.id, version)
        path = store.rows_path(record.id, version)
        before = _initial_values(path, state.work, _key(columns))
        if old.asked == record.asked and old.rows == record.rows:
            return None, before  # no row has moved
        if column not in old.columns:
            return {}, before
        return _moved_rows(path, store.rows_path(record.id, record.version), column), before

    def locate(fact: Fact) -> tuple[int | None, bool]:
        if fact.version >= record.version:
            return (fact.row if fact.version == record.version and fact.row <= record.rows else None), False
        moved, before = earlier(fact.version)
        row = fact.row if moved is None else moved.get(fact.row)
        return row, row is not None and state.original.get(row) != before.get(fact.row)

    return locate


def _key(columns: Columns) -> Key:
    return tuple(sorted(columns.items()))


# A version of a dataset never changes, so these results are cached.


@lru_cache(maxsize=64)
def _guess(path: Path, label_task: str) -> dict[str, str]:
    return LABEL_TASKS[label_task].guess(open_parquet(path))


@lru_cache(maxsize=2048)
def _row(path: Path, number: int) -> Row:
    return open_parquet(path).row(number)


@lru_cache(maxsize=8)
def _rows_containing(path: Path, column: str, words: str, label_task: str, columns: Key) -> "array[int]":
    return rows_with(path, column, words, lambda value: LABEL_TASKS[label_task].text({column: value}, dict(columns)))


@lru_cache(maxsize=8)
def _initial_values(path: Path, label_task: str, key: Key) -> dict[int, str]:
    """Return row → value in the dataset. Reads the columns with values only."""
    task, columns = LABEL_TASKS[label_task], dict(key)
    names = task.value_columns(columns)
    if not names or not {*names} <= {*open_parquet(path).columns}:
        return {}
    values = {}
    for cells in zip(*(column_of(path, name) for name in names), strict=True):
        row = {name: value for name, (_, value) in zip(names, cells, strict=True)}
        if value := task.initial(row, columns):
            values[cells[0][0]] = value
    return values


@lru_cache(maxsize=8)
def _moved_rows(old: Path, new: Path, column: str) -> dict[int, int]:
    """Return row of the old version → row of the new one with the same text, in order for equal texts."""
    places: dict[str, list[int]] = defaultdict(list)
    for row, value in column_of(new, column):
        places[str(value)].append(row)
    unused = {text: iter(rows) for text, rows in places.items()}
    pairs = ((row, next(unused.get(str(value), iter(())), None)) for row, value in column_of(old, column))
    return {row: place for row, place in pairs if place is not None}
