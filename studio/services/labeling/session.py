"""Labeling sessions: the current version of a dataset, what its rows are given, by whom, and the state of labeling."""

from array import array
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

from studio.data.column import column_of, moved_rows, rows_with
from studio.data.parquet_store import open_parquet
from studio.data.table import Row
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError, named
from studio.schema.labeling import Fact, Suggestion, What
from studio.services.labeling.active_learning import Suggester
from studio.services.labeling.label_queue import LabelQueue, available_orders
from studio.services.labeling.label_tasks import LABEL_TASKS, LABELS, Columns, LabelTask, label_task_for
from studio.services.labeling.predicted_labels import PredictedLabels
from studio.services.labeling.state import LabelingState, Locate
from studio.store.datasets import DatasetStore

MAX_LABELS, MAX_NAME = 100, 40
"""Labels to choose from, and characters of a person's name."""
MAX_LABELERS = 100
"""People whose row and order are remembered. The browser sends the name, so it could send any number of them."""
Key = tuple[tuple[str, str], ...]
"""Purpose and column: `columns` as the key of a cache."""


@dataclass(eq=False)
class Session:
    """The current version of a dataset, as one person labels it."""

    record: DatasetRecord
    path: Path
    """The file with the rows."""
    choices: dict[str, Any]
    """What people chose: label task, columns and orders, and the training task that they follow."""
    labeler: str
    """The name of the person. Empty for a person alone."""
    state: LabelingState = field(init=False)
    queues: dict[str, LabelQueue] = field(default_factory=dict)
    """Labeler → the rows of that person."""
    suggester: Suggester | None = None
    """None if there are no suggestions for these values."""
    predicted: PredictedLabels | None = None
    """Predictions of a run's model, which come before those of the suggester. None: a person chose none."""

    # --- what rows are given, and the columns to read and write ---

    @cached_property
    def label_task(self) -> LabelTask:
        """The chosen one. Until a person chooses one, it follows the training task if the columns suffice."""
        if chosen := self.choices.get("work"):
            return LABEL_TASKS[chosen]
        label_task = label_task_for(self.choices.get("task") or (self.record.spec.task if self.record.spec else ""))
        return LABELS if label_task.unavailable_reason(self.columns_for(label_task)) else label_task

    @cached_property
    def columns(self) -> dict[str, str]:
        """Purpose → column."""
        return self.columns_for(self.label_task)

    @property
    def source(self) -> tuple[Path, LabelTask, Key]:
        """The rows, what they are given, and the columns: what the state before any fact is made from."""
        return self.path, self.label_task, tuple(self.columns.items())

    @property
    def text_column(self) -> str:
        """The first column that is read."""
        return next(iter(self.columns.values()))

    def columns_for(self, label_task: LabelTask) -> dict[str, str]:
        """Return purpose → column: as chosen, else as the names and values suggest.

        An empty choice is a new column, until a version has a column with the name of the purpose.
        """
        chosen, names = self.choices.get("columns", {}).get(label_task.name, {}), self.record.columns
        known = {purpose: name for purpose, name in chosen.items() if (name in names if name else purpose not in names)}
        return {**_guess(self.path, label_task), **known}

    def require_columns(self, label_task: LabelTask, chosen: Columns) -> None:
        """Refuse chosen columns that the dataset or the label task does not have, or that do not suffice."""
        for purpose, column in chosen.items():
            named(label_task.columns, purpose, "kind of column", field="columns")
            if column:
                named(dict.fromkeys(self.record.columns), column, "column", field="columns", code="columns-unclear")
        if reason := label_task.unavailable_reason({**self.columns_for(label_task), **chosen}):
            raise StudioError("columns-unclear", reason, valid=self.record.columns)

    @property
    def queue(self) -> LabelQueue:
        """The rows of this person."""
        queue = self.queues[self.labeler] = self.queues.pop(self.labeler, LabelQueue())
        while len(self.queues) > MAX_LABELERS:
            del self.queues[next(iter(self.queues))]  # the one that was used longest ago
        return queue

    @cached_property
    def suggested(self) -> Mapping[int, Suggestion]:
        """Row → its suggestion. Empty if a label has been renamed since the last training."""
        if self.predicted:
            return self.predicted.suggested(self.state)
        learned = self.suggester.learned if self.suggester else None
        return learned.rows if learned and set(learned.names) <= set(self.state.labels) else {}

    @property
    def accepted_note(self) -> str:
        """How many new labels are suggestions of a run's model that a person accepted, as a sentence. Empty: none."""
        if not self.predicted:
            return ""
        rows, state = self.predicted.rows, self.state
        accepted = sum(row in rows and state.values[row] == rows[row].best for row in state.changed)
        return f" {accepted:,} of them were suggested by the model {self.predicted.run.name}." if accepted else ""

    @property
    def order(self) -> str:
        """The order that the person chose. Default: least sure first, or a review if all rows had values."""
        chosen = self.choices.get("orders", {}).get(self.labeler, "")
        if chosen in available_orders(self):
            return chosen
        if len(self.state.initial) == self.record.rows and self.label_task is not LABELS:
            return "review"
        return "least-sure" if self.suggested else "file"

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

    @property
    def empty(self) -> frozenset[int]:
        """The rows without a text."""
        return rows_without_text(self.text_column, *self.source)

    def typed_key(self, row: int | None) -> str:
        """The key of the draft of a reply that is being typed."""
        return f"typed:{self.record.id}:{self.record.version}:{row}:{self.labeler}"

    # --- checks of what a person enters ---

    def clean(self, value: str) -> str:
        """Return a value as it is saved. Refuse one that is not valid."""
        if cleaned := self.label_task.clean(value):
            return cleaned
        valid = self.label_task.choices or None
        raise StudioError("bad-setting", self.label_task.refusal, given=value[:200] or "nothing", valid=valid)

    def require_rows(self, rows: Iterable[int]) -> None:
        """Refuse rows that do not exist."""
        for row in rows:
            if not 1 <= row <= self.record.rows:
                valid = f"1 to {self.record.rows}"
                raise StudioError("no-such-row", "There is no row with this number.", given=row, valid=valid)

    def require_labels(self) -> None:
        """Refuse when rows get something else than labels."""
        if self.label_task is not LABELS:
            what = "Labels are not the current kind of labeling."
            raise StudioError("wrong-state", what, hint='Choose "Label texts".')

    def new_names(self, labels: Sequence[str], known: Sequence[str] = ()) -> list[str]:
        """Return the labels that are not known, as they are saved. Refuse more than people can choose from."""
        self.require_labels()
        names = dict.fromkeys(self.clean(label) for label in labels if label.strip())
        new = [name for name in names if name not in known]
        if new and len(known) + len(new) > MAX_LABELS:
            what, count = "There are too many labels to choose from.", len(known) + len(new)
            raise StudioError("too-many-labels", what, given=count, valid=f"up to {MAX_LABELS}")
        return new

    def rows_of(self, label: str) -> int:
        """Return the number of rows with a label. Refuse a label that does not exist."""
        self.require_labels()
        named(dict.fromkeys(self.state.labels), label, "label", field="label")
        return self.state.counts[label]

    # --- the state, and facts about earlier versions ---

    def new_state(self) -> LabelingState:
        """Return the state before any fact."""
        task = self.label_task
        return LabelingState(self.record.rows, task.name, _initial_values(*self.source), task.unlabeled)

    def locate_in(self, store: DatasetStore) -> Locate:
        """Return the function that finds the rows of facts about earlier versions in this one.

        A row keeps its values when other rows are removed. A value is outdated if the row's cell has changed since.
        """
        record, original = self.record, self.state.original

        @cache
        def earlier(version: int) -> tuple[dict[int, int] | None, dict[int, str]]:
            """Return row → its row in this version (None: no row has moved), and row → value of the dataset."""
            old, path = store.get(record.id, version), store.rows_path(record.id, version)
            before = _initial_values(path, *self.source[1:])
            since = [each for each in store.versions(record.id) if version <= each.version <= record.version]
            if all((each.asked, each.rows) == (record.asked, record.rows) for each in since):
                return None, before
            return moved_rows(path, self.path, self.text_column) if self.text_column in old.columns else {}, before

        def locate(fact: Fact) -> tuple[int | None, bool]:
            if fact.version >= record.version:
                return (fact.row if fact.version == record.version and fact.row <= record.rows else None), False
            moved, before = earlier(fact.version)
            row = fact.row if moved is None else moved.get(fact.row)
            return row, row is not None and original.get(row) != before.get(fact.row)

        return locate


def clean_name(name: str) -> str:
    """Return a person's name without characters that are invisible, at most 40 characters."""
    return "".join(character for character in name if character.isprintable()).strip()[:MAX_NAME].strip()


# A version of a dataset never changes, so these results are cached.


@lru_cache(maxsize=64)
def _guess(path: Path, label_task: LabelTask) -> dict[str, str]:
    return label_task.guess(open_parquet(path))


@lru_cache(maxsize=2048)
def _row(path: Path, number: int) -> Row:
    return open_parquet(path).row(number)


@lru_cache(maxsize=8)
def rows_containing(words: str, column: str, path: Path, label_task: LabelTask, columns: Key) -> "array[int]":
    """Return the rows whose text contains `words`. Reads the text column only."""
    return rows_with(path, column, words, lambda value: label_task.text({column: value}, dict(columns)))


@lru_cache(maxsize=8)
def rows_without_text(column: str, path: Path, label_task: LabelTask, columns: Key) -> frozenset[int]:
    """Return the rows that have nothing to read. Reads the text column only."""
    texts = ((row, label_task.text({column: value}, dict(columns))) for row, value in column_of(path, column))
    return frozenset(row for row, text in texts if not text.strip())


@lru_cache(maxsize=8)
def _initial_values(path: Path, label_task: LabelTask, key: Key) -> dict[int, str]:
    """Return row → value in the dataset. Reads the columns with values only."""
    columns = dict(key)
    names = [columns.get(purpose, purpose) for purpose in (*label_task.writes, *label_task.reads)]
    if not {*names} <= {*open_parquet(path).columns}:
        return {}
    values = {}
    for cells in zip(*(column_of(path, name) for name in names), strict=True):
        row = {name: value for name, (_, value) in zip(names, cells, strict=True)}
        if value := label_task.initial(row, columns):
            values[cells[0][0]] = value
    return values
