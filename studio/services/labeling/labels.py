"""Labels of a workspace's datasets, for the page and the command line. Each action is saved before it returns."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from studio.data.formats import read, read_text
from studio.data.table import Table
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError, named
from studio.schema.labeling import Agreement, Carried, Labeling, LabelList, Learned, What
from studio.schema.models import ModelInfo
from studio.schema.views import Page
from studio.services.context import Context
from studio.services.datasets.service import Datasets
from studio.services.labeling.active_learning import (
    EMBEDDING_MODEL,
    TWO_TEXTS,
    Progress,
    ReadData,
    Suggester,
    TrainingSet,
    missing_labels,
    training_set,
)
from studio.services.labeling.import_export import count_lines, export_labels, import_labels
from studio.services.labeling.label_tasks import (
    LABEL_TASKS,
    LABELS,
    MAX_REPLY,
    REPLIES,
    Columns,
    LabelTask,
    label_task_for,
)
from studio.services.labeling.label_view import labeling_view, list_view
from studio.services.labeling.order import AWAY, ORDERS, Screen
from studio.services.labeling.session import (
    Session,
    clean_name,
    columns_of,
    locate_in,
    new_state,
    require_columns,
    require_known_columns,
)
from studio.services.labeling.state import LabelingState
from studio.services.model_host.client import WorkspaceHost
from studio.services.models import Models

LIST_PAGE = Page(1, 25)


class Labels:
    """Labeling. `labeler` is the name of the person; empty for a person alone."""

    def __init__(self, context: Context, datasets: Datasets, models: Models, suggester: Suggester) -> None:
        self.context, self.datasets, self.models, self.suggester = context, datasets, models, suggester
        self.store, self.facts, self.drafts = datasets.store, context.workspace.labels, context.workspace.drafts
        self._lock = threading.RLock()
        self._states: dict[tuple[Any, ...], LabelingState] = {}
        """Dataset, version, label task, columns → state. One for each dataset."""
        self._info: ModelInfo | None = None
        self._screens: dict[tuple[str, int, str], dict[str, Screen]] = {}
        """Dataset, version, label task → labeler → screen."""

    # --- views ---

    def state(self, dataset: str, labeler: str = "", task: str = "") -> Labeling:
        """Progress, and the next row; `task` decides what rows get until a person chooses."""
        with self._lock:
            self._follow_task(dataset, task)
            session = self._open(dataset, labeler)
            order, screen = session.order(), self._screen(session)
            since = time.monotonic() - AWAY
            others = self._screens[session.key].items()
            known = ("", session.labeler)
            taken = {each.row for name, each in others if each.row and name not in known and each.since > since}
            # a person without a name who then enters one leaves a screen without a name, with the same row
            renamed = not session.labeler and screen.row in taken
            row = screen.row
            if not row or renamed or not (screen.opened or order.wants(session, row)):
                row = screen.next(session, order, taken)
            is_open = row is not None and session.state.is_open(row, session.labeler)
            screen.show(
                row, session.suggested.get(row) if row and is_open else None, screen.opened and screen.row == row
            )
            typed = self.drafts.get(session.typed_key(row)) if row and session.label_task is REPLIES else None
            suggesting = self.suggester.state(session, self.context.demo, self._embedding_model)
            return labeling_view(session, order, screen, suggesting, typed)

    def rows(
        self, dataset: str, labeler: str = "", show: str = "all", search: str = "", page: Page = LIST_PAGE
    ) -> LabelList:
        """Many rows at once; `show` is all, open, done, unsure, differ, sure or label:NAME."""
        with self._opened(dataset, labeler) as session:
            return list_view(session, show, search, page)

    def agreements(self, dataset: str) -> tuple[Agreement, ...]:
        """Agreement of every two people on rows that both labeled."""
        return self.state(dataset).agreements

    # --- choices ---

    def choose(self, dataset: str, work: str = "", columns: Mapping[str, str] | None = None) -> Labeling:
        """Choose what rows get (labels, replies or preferences), and the columns to read and write."""
        with self._lock:
            chosen = named(LABEL_TASKS, work, "kind of labeling", field="work") if work else None
            label_task = chosen or self._open(dataset).label_task
            self._choose_columns(dataset, label_task, columns or {}, label_task.name)
            return self.state(dataset)

    def choose_order(self, dataset: str, order: str = "file", labeler: str = "") -> Labeling:
        """Choose the order of rows for one person."""
        named(ORDERS, order, "order", field="order")
        with self._opened(dataset, labeler) as session:
            self._choose(dataset, orders={**session.draft.get("orders", {}), session.labeler: order})
            self._screen(session).show(None)
            return self.state(dataset, labeler)

    def open(self, dataset: str, row: int, labeler: str = "") -> Labeling:
        """Show a row now, labeled or not."""
        with self._opened(dataset, labeler, row) as session:
            self._screen(session).show(row, opened=True)
            return self.state(dataset, labeler)

    # --- values of rows ---

    def give(self, dataset: str, row: int, label: str, labeler: str = "") -> Labeling:
        """Give a row a label, a reply or a preference; saved before this returns."""
        with self._opened(dataset, labeler, row) as session:
            value, screen = session.clean(label), self._screen(session)
            suggestion = screen.suggestion if screen.row == row else None
            suggested = {"suggested": suggestion.best, "sure": suggestion.sure} if suggestion else {}
            self.facts.add(session.record.id, [session.fact("given", row, value, **suggested)])
            screen.show(None)
            if session.label_task is REPLIES:
                self.drafts.put(session.typed_key(row), None)
            return self.state(dataset, labeler)

    def give_many(self, dataset: str, rows: Sequence[int] = (), label: str = "", labeler: str = "") -> int:
        """Give many rows a label, or each its suggested one; how many got one."""
        with self._opened(dataset, labeler, *rows) as session:
            if label:
                values = dict.fromkeys(rows, session.clean(label))
            else:
                suggested = session.suggested
                unlabeled = (row for row in rows if row in suggested and row not in session.state.values)
                values = {row: suggested[row].best for row in unlabeled}
            self.facts.add(session.record.id, [session.fact("given", row, value) for row, value in values.items()])
            return len(values)

    def skip(self, dataset: str, row: int, labeler: str = "") -> Labeling:
        """Leave a row for later."""
        return self._mark(dataset, row, "skip", labeler)

    def mark_unsure(self, dataset: str, row: int, labeler: str = "") -> Labeling:
        """Mark a row as unsure: it does not come again unless opened."""
        return self._mark(dataset, row, "unsure", labeler)

    def _mark(self, dataset: str, row: int, mark: What, labeler: str) -> Labeling:
        with self._opened(dataset, labeler, row) as session:
            self.facts.add(session.record.id, [session.fact(mark, row)])
            self._screen(session).show(None)
            return self.state(dataset, labeler)

    def undo(self, dataset: str, labeler: str = "") -> Labeling:
        """Undo this person's last action."""
        with self._opened(dataset, labeler) as session:
            author = (session.labeler, session.record.version)
            for fact, row in reversed(session.state.history):
                if (fact.labeller, fact.version) == author:
                    self.facts.add(session.record.id, [session.fact("undo", undoes=fact.id)])
                    self._screen(session).show(row, opened=True)
                    break
            return self.state(dataset, labeler)

    def type_reply(self, dataset: str, row: int, text: str, labeler: str = "") -> None:
        """Save a reply that is being typed."""
        with self._opened(dataset, labeler, row) as session:
            self.drafts.put(session.typed_key(row), text[:MAX_REPLY])

    def apply(self, dataset: str) -> DatasetRecord:
        """A new version of the dataset with the labels in a column."""
        with self._opened(dataset) as session:
            label_task, columns, state = session.label_task, session.columns, session.state
            if reason := label_task.too_few(state.counts, len(state.values)):
                raise StudioError("too-few-rows", reason, hint="Label more rows.")
            if not state.changed:
                raise StudioError(
                    "wrong-state",
                    "There are no new labels to save.",
                    hint="Label some rows, or use the current version.",
                )
            cells = {row: label_task.cells(session.row(row), columns, state.values[row]) for row in state.changed}
            new = self.datasets.with_values(dataset, cells, label_task.note(len(state.changed), columns))
            self._choose_columns(dataset, label_task, label_task.outputs(columns))
            roles = label_task.roles(columns)
            ignored = {name: "ignore" for name in new.columns if name not in roles}
            self.datasets.set_roles(dataset, label_task.task, {**roles, **ignored})
            return self.datasets.store.get(new.id)

    # --- names of labels ---

    def set_names(self, dataset: str, labels: Sequence[str], text_column: str | None = None) -> Labeling:
        """Set the labels, and the column to read."""
        if text_column is not None:
            self.choose(dataset, "label", {"text": text_column})
        with self._opened(dataset) as session:
            names = session.require_labels().clean_all(labels)
            session.require_few(len(names))
            self.facts.add(session.record.id, [session.fact("names", value=json.dumps(names, ensure_ascii=False))])
            return self.state(dataset)

    def add_names(self, dataset: str, labels: Sequence[str], labeler: str = "") -> Labeling:
        """Add labels."""
        with self._opened(dataset, labeler) as session:
            known = session.require_labels().state.labels
            new = [name for name in session.clean_all(labels) if name not in known]
            session.require_few(len(known) + len(new) if new else 0)
            self.facts.add(session.record.id, [session.fact("add", value=name) for name in new])
            return self.state(dataset, labeler)

    def rename(self, dataset: str, label: str, new: str, merge: bool = False, labeler: str = "") -> int:
        """Rename a label; with `merge` the new name may be another label's. Returns how many rows had it."""
        with self._opened(dataset, labeler) as session:
            rows, name = session.rows_of(label), session.clean(new)
            if name in session.state.labels and name != label and not merge:
                raise StudioError(
                    "bad-setting",
                    f"The label {name} already exists.",
                    given=name,
                    hint=f"Merge {label} into {name} if both mean the same.",
                )
            if name != label:
                names = json.dumps([label, name], ensure_ascii=False)
                self.facts.add(session.record.id, [session.fact("rename", value=names)])
            return rows

    def remove_name(self, dataset: str, label: str, labeler: str = "") -> None:
        """Remove a label that no row has."""
        with self._opened(dataset, labeler) as session:
            if rows := session.rows_of(label):
                raise StudioError(
                    "wrong-state",
                    f"The label {label} is used in {rows:,} {'row' if rows == 1 else 'rows'}.",
                    hint="Merge it into another label, or change the label of these rows.",
                )
            self.facts.add(session.record.id, [session.fact("remove", value=label)])

    # --- suggestions ---

    def suggest(self, dataset: str, progress: Progress = lambda done, total, words: None) -> Learned | None:
        """Train a small classifier on the labels so far and suggest labels for the other rows; waits for it."""
        with self._opened(dataset) as session:
            reason = TWO_TEXTS if session.require_labels().columns.get("second") else missing_labels(session.state)
            if reason:
                raise StudioError("too-few-rows", reason)
        return self.suggester.run(*self._suggestion_job(session), progress)

    def suggest_in_background(self, dataset: str) -> None:
        """The same in the background; `state` has the progress."""
        with self._opened(dataset) as session:
            self.suggester.start(*self._suggestion_job(session.require_labels()))

    # --- files ---

    def export_text(self, dataset: str, format: str = "csv", each: bool = False) -> str:
        """The labels as CSV or JSONL; `each`: one line for each person's label."""
        with self._opened(dataset) as session:
            return export_labels(session, format, each)

    def export_file(self, dataset: str, to: Path | str, each: bool = False) -> int:
        """Write the labels to a file; how many lines."""
        with self._opened(dataset):
            self.context.owner_only("Writing to a folder of this machine")
        to = Path(to)
        format = to.suffix.lower().lstrip(".")
        text = self.export_text(dataset, format or to.name, each)
        if not to.parent.is_dir():
            hint = "Create it first, or choose another folder."
            raise StudioError("unknown-format", "The folder does not exist.", given=to.parent, field="to", hint=hint)
        to.write_text(text, encoding="utf-8", newline="")
        return count_lines(text, format)

    def import_file(self, dataset: str, path: Path | str, labeler: str = "") -> Carried:
        """Import labels from a file, matched by row number or by text."""
        with self._opened(dataset):
            self.context.owner_only("Reading a file by its path")
        path = Path(path)
        if not path.is_file():
            raise StudioError(
                "unreadable-file", "There is no such file.", given=path.name, hint="Check its name and its folder."
            )
        return self._import(dataset, read(path, limits=self.datasets.read_limits), labeler)

    def import_text(self, dataset: str, text: str, labeler: str = "") -> Carried:
        """Import labels that were pasted."""
        self.datasets.store.get(dataset)
        return self._import(dataset, read_text(text, limits=self.datasets.read_limits), labeler)

    def _import(self, dataset: str, table: Table, labeler: str) -> Carried:
        with self._opened(dataset, labeler) as session:
            facts, summary = import_labels(session, table)
            self.facts.add(session.record.id, facts)
            return summary

    # --- sessions ---

    @contextmanager
    def _opened(self, dataset: str, labeler: str = "", *rows: int) -> Iterator[Session]:
        """Hold the lock, and yield the session of a person. Refuse rows that do not exist."""
        with self._lock:
            session = self._open(dataset, labeler)
            for row in rows:
                if not 1 <= row <= session.record.rows:
                    valid = f"1 to {session.record.rows}"
                    raise StudioError("no-such-row", "There is no row with this number.", given=row, valid=valid)
            yield session

    def _open(self, dataset: str, labeler: str = "") -> Session:
        """Return the current session. Until a person chooses a label task, it follows the training task."""
        record, draft = self.store.get(dataset), self._draft(dataset)
        path, folder = self.store.rows_path(record.id, record.version), self.store.labelling_folder(record.id)
        if chosen := draft.get("work"):
            label_task = LABEL_TASKS[chosen]
        else:
            label_task = label_task_for(draft.get("task") or (record.spec.task if record.spec else ""))
            if label_task.unavailable_reason(columns_of(record, path, label_task, draft)):
                label_task = LABELS
        columns = columns_of(record, path, label_task, draft)
        require_columns(record, label_task, columns)
        state = self._state(record, path, label_task, columns)
        name = clean_name(labeler)
        return Session(record, path, folder, label_task, columns, draft, state, name, self.suggester.learned)

    def _draft(self, dataset: str) -> dict[str, Any]:
        """Return what people chose: label task, columns and orders."""
        return self.drafts.get(f"labelling:{dataset}") or {}

    def _choose(self, dataset: str, **choices: Any) -> None:
        """Save choices."""
        self.drafts.put(f"labelling:{dataset}", {**self._draft(dataset), **choices})

    def _follow_task(self, dataset: str, task: str) -> None:
        """After a choice of another training task, rows get what it learns from, until a person chooses."""
        if task and self._draft(self.store.get(dataset).id).get("task") != task:
            self._choose(dataset, task=task, work="")

    def _choose_columns(self, dataset: str, label_task: LabelTask, columns: Columns, work: str | None = None) -> None:
        """Choose columns to read or write, and with `work` this label task. Refuse columns that do not suffice."""
        record, draft = self.store.get(dataset), self._draft(dataset)
        require_known_columns(record, label_task, columns)
        chosen = draft.get("columns", {})
        draft["columns"] = {**chosen, label_task.name: {**chosen.get(label_task.name, {}), **columns}}
        if work:
            path = self.store.rows_path(record.id, record.version)
            require_columns(record, label_task, columns_of(record, path, label_task, draft))
            draft["work"] = work
        self._choose(dataset, **draft)

    def _state(self, record: DatasetRecord, path: Path, label_task: LabelTask, columns: Columns) -> LabelingState:
        """Return the state with all facts, also those that another process has saved."""
        key = (record.id, record.version, label_task.name, *sorted(columns.items()))
        state = self._states.get(key)
        facts = self.facts.after(record.id, state.last) if state else []
        if state is None or any(fact.what == "undo" for fact in facts):
            facts = self.facts.after(record.id)
            state = new_state(path, record, label_task, columns)
            self._states = {other: each for other, each in self._states.items() if other[0] != record.id}
            self._states[key] = state
        if facts:
            state.apply(facts, locate_in(self.store, record, columns, state))
        return state

    def _screen(self, session: Session) -> Screen:
        return self._screens.setdefault(session.key, {}).setdefault(session.labeler, Screen())

    def _suggestion_job(self, session: Session) -> tuple[Session, ReadData, ModelInfo, WorkspaceHost]:
        """Return the arguments of `Suggester.run`."""

        def read() -> TrainingSet | None:
            with self._opened(session.record.id) as current:
                return training_set(current, self.context.demo) if current.key == session.key else None

        return session, read, self._embedding_model(), self.suggester.host.of(self.context.workspace)

    def _embedding_model(self) -> ModelInfo:
        """Return the starter that embeds texts. Raise while it is not on this machine."""
        if self._info is None:
            self._info = self.models.ready(EMBEDDING_MODEL)
        return self._info
