"""Labels of a workspace's datasets, for the page and the command line. Each action is saved before it returns.

An action opens a `Session`: the current version of a dataset as one person labels it. It adds facts to the store; the
next session has them in its state. A lock is held meanwhile, so people of one workspace take turns.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

from studio.data.formats import read, read_text
from studio.data.table import Table, changed
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError, named
from studio.schema.labeling import Carried, Fact, Labeling, LabelList, Learned, SuggestState, Unlabeled
from studio.schema.numbers import rows as rows_words
from studio.schema.predictions import PredictionSet
from studio.schema.views import Page
from studio.services.datasets.service import Datasets
from studio.services.labeling.accepted_labels import accepted_rows
from studio.services.labeling.active_learning import TWO_TEXTS, Progress, Suggester, missing_labels
from studio.services.labeling.import_export import export_labels, import_labels
from studio.services.labeling.label_queue import ORDERS
from studio.services.labeling.label_tasks import LABEL_TASKS, LABELS, MAX_REPLY, REPLIES
from studio.services.labeling.label_view import labeling_view, list_view
from studio.services.labeling.predicted_labels import predicted_labels, rows_stay
from studio.services.labeling.session import MAX_LABELERS, Session, clean_name
from studio.services.labeling.state import LabelingState
from studio.services.labeling.unlabeled import unlabeled
from studio.services.labeling.visitor_limits import require_disk_space, require_room
from studio.services.model_host.client import HostClient
from studio.services.models.service import Models
from studio.store.files import require_folder

MAX_POOL, MAX_POOL_IN_DEMO = 20_000, 2_000
"""Most rows that get a suggestion. Of more rows, an even sample is used."""
MAX_SESSIONS = 8
"""Datasets whose last session is remembered. Others are computed again."""
LIST_PAGE = Page(1, 25)


class Labels:
    """Labeling. `labeler`: a person's name, empty for one alone. `suggesters`: by dataset, those of all workspaces."""

    def __init__(self, datasets: Datasets, models: Models, host: HostClient, suggesters: dict[str, Suggester]) -> None:
        self.datasets, self.models, self.suggesters = datasets, models, suggesters
        self.context, self.store, workspace = datasets.context, datasets.store, datasets.context.workspace
        self.facts, self.drafts, self.host = workspace.labels, workspace.drafts, host.of(workspace)
        self._lock = threading.RLock()
        self._last: OrderedDict[str, Session] = OrderedDict()
        """Dataset → the last session, whose state and queues the next one takes over."""
        self._of_viewers: dict[str, dict[str, Any]] = {}
        """Dataset → what viewers chose, for themselves only: they write nothing."""

    # --- views ---

    def state(self, dataset: str, labeler: str = "", task: str = "") -> Labeling:
        """Progress, and the next row; `task` decides what rows get until a person chooses."""
        with self._opened(dataset, labeler, task=task) as session:
            session.queue.advance(session)
            suggesting = SuggestState(unavailable_reason=TWO_TEXTS if session.label_task is LABELS else "")
            if source := session.predicted or session.suggester:
                suggesting = source.progress(session.state)
            return labeling_view(session, suggesting, self.drafts.get(session.typed_key(session.queue.row)))

    def done(self, dataset: str) -> int:
        """How many rows have a label, a reply or a preference. Asked of many datasets, so it keeps no session."""
        with self._opened(dataset, keep=False) as session:
            return len(session.state.values)

    def unlabeled(self, dataset: str, task: str = "") -> Unlabeled | None:
        """How many rows to label first, if a dataset has texts but no labels yet. `task`: the chosen one, or none."""
        return unlabeled(self.datasets, dataset, task)

    def open_rows(self, dataset: str) -> list[int]:
        """The rows that have no label, reply or preference, and a text."""
        with self._opened(dataset) as session:
            left_out = session.state.values.keys() | session.empty
            return [row for row in range(1, session.record.rows + 1) if row not in left_out]

    def reviewing(self, saved: PredictionSet) -> SuggestState | None:
        """How many predictions of a run's model are to be reviewed. None if they are about other rows by now."""
        with self._opened(saved.dataset) as session:
            chosen, runs = {"run": saved.run, "id": saved.id}, self.context.workspace.runs
            predicted = predicted_labels(chosen, self.store, runs, session.record.version, session.columns)
            return predicted.progress(session.state) if predicted else None

    def given(self, dataset: str, version: int) -> tuple[str, dict[int, tuple[str, str]]]:
        """The column of the labels, and row → label and the person who gave it last (empty: no name).

        Row numbers are those of `version`. No labels if the current version has other rows.
        """
        with self._opened(dataset) as session:
            texts, state = (session.text_column,), session.state
            column = session.label_task.outputs(session.columns)[session.label_task.writes[0]]
            if not rows_stay(self.store, session.record.id, version, session.record.version, texts):
                return column, {}
            newest = {row: next(iter(reversed(state.given(row))), None) for row in state.values}
            return column, {row: (state.values[row], fact.labeller if fact else "") for row, fact in newest.items()}

    def accepted(self, dataset: str, version: int) -> set[int]:
        """The rows of a version whose label is a suggestion that a person accepted. Empty for rows without labels."""
        with self._lock:
            record, choices = self.store.get(dataset, version), self.drafts.get(f"labelling:{dataset}")
            session = Session(record, self.store.rows_path(dataset, version), choices or {}, "")
            if session.label_task is not LABELS:
                return set()
            session.state = session.new_state()
            return accepted_rows(session, self.facts.after(dataset), session.locate_in(self.store))

    def rows(
        self, dataset: str, labeler: str = "", show: str = "all", search: str = "", page: Page = LIST_PAGE
    ) -> LabelList:
        """Many rows at once; `show` is all, open, done, unsure, differ, sure or label:NAME."""
        with self._opened(dataset, labeler) as session:
            return list_view(session, show, search, page)

    # --- choices ---

    def choose(self, dataset: str, work: str = "", columns: Mapping[str, str] | None = None) -> Labeling:
        """Choose what rows get (labels, replies or preferences), and the columns to read and write."""
        with self._lock:
            session = self._session(dataset)
            label_task = named(LABEL_TASKS, work, "kind of labeling", field="work") if work else session.label_task
            session.require_columns(label_task, columns or {})
            chosen = session.choices.get("columns", {})
            of_task = {**chosen.get(label_task.name, {}), **(columns or {})}
            self._choose(session, work=label_task.name, columns={**chosen, label_task.name: of_task})
            return self.state(dataset)

    def follow(self, dataset: str, task: str) -> None:
        """Let a training task decide what rows get, unless it does already. See `state`."""
        with self._opened(dataset, task=task):
            pass

    def choose_order(self, dataset: str, order: str = "file", labeler: str = "") -> Labeling:
        """Choose the order of rows for one person."""
        named(ORDERS, order, "order", field="order")
        with self._opened(dataset, labeler) as session:
            others = {name: each for name, each in session.choices.get("orders", {}).items() if name != session.labeler}
            kept = list(others.items())[1 - MAX_LABELERS :]
            self._choose(session, orders={**dict(kept), session.labeler: order})
            session.queue.show(None)
            return self.state(dataset, labeler)

    def open(self, dataset: str, row: int, labeler: str = "") -> Labeling:
        """Show a row now, labeled or not."""
        with self._opened(dataset, labeler, row) as session:
            session.queue.show(row)
            return self.state(dataset, labeler)

    # --- values of rows ---

    def give(self, dataset: str, row: int, label: str, labeler: str = "") -> Labeling:
        """Give a row a label, a reply or a preference; saved before this returns."""
        with self._opened(dataset, labeler, row) as session:
            value, queue = session.clean(label), session.queue
            suggestion = queue.suggestion if queue.row == row else None
            suggested = {"suggested": suggestion.best, "sure": suggestion.sure} if suggestion else {}
            self._add(session, [session.fact("given", row, value, **suggested)])
            queue.show(None)
            if session.label_task is REPLIES:
                self.drafts.put(session.typed_key(row), None)
            return self.state(dataset, labeler)

    def give_many(self, dataset: str, rows: Sequence[int] = (), label: str = "", labeler: str = "") -> int:
        """Give many rows a label, or each its suggested one; how many got one."""
        with self._opened(dataset, labeler, *rows) as session:
            suggested, done = session.suggested, session.state.values
            values = {row: suggested[row].best for row in rows if row in suggested and row not in done}
            if label:
                values = dict.fromkeys(rows, session.clean(label))
            facts = [
                session.fact("given", row, value, suggested=None if label else value) for row, value in values.items()
            ]
            self._add(session, facts)
            return len(values)

    def mark(self, dataset: str, row: int, mark: Literal["skip", "unsure"], labeler: str = "") -> Labeling:
        """Leave a row for later, or mark it as unsure: then it does not come again unless opened."""
        with self._opened(dataset, labeler, row) as session:
            self._add(session, [session.fact(mark, row)])
            session.queue.show(None)
            return self.state(dataset, labeler)

    def undo(self, dataset: str, labeler: str = "") -> Labeling:
        """Undo this person's last action, which may have been about many rows."""
        with self._opened(dataset, labeler) as session:
            undone = session.state.last_action(session.labeler, session.record.version)
            if undone:
                self._add(session, [session.fact("undo", undoes=fact.id) for fact, _ in undone])
                session.queue.show(undone[-1][1])
            return self.state(dataset, labeler)

    def type_reply(self, dataset: str, row: int, text: str, labeler: str = "") -> None:
        """Save a reply that is being typed."""
        with self._opened(dataset, labeler, row) as session:
            require_disk_space(self.context.workspace, text[:MAX_REPLY])
            self.drafts.put(session.typed_key(row), text[:MAX_REPLY])

    def apply(self, dataset: str) -> DatasetRecord:
        """A new version of the dataset with the labels in a column."""
        with self._opened(dataset) as session:
            label_task, columns, state = session.label_task, session.columns, session.state
            if reason := label_task.too_few(state.counts):
                raise StudioError("too-few-rows", reason, hint="Label more rows.")
            if not state.changed:
                what, hint = "There are no new labels to save.", "Label some rows, or use the current version."
                raise StudioError("wrong-state", what, hint=hint)
            table = self.datasets.table(dataset, session.record.version)
            rows = ((row, cells) for row, cells in table.numbered() if row in state.changed)
            new_cells = {row: label_task.cells(cells, columns, state.values[row]) for row, cells in rows}
            outputs, roles = label_task.outputs(columns), label_task.roles(columns)
            note = label_task.note.format(rows=rows_words(len(new_cells)), **outputs) + session.accepted_note
            new = self.datasets.write(changed(table, values=new_cells, note=note), session.record, note)
            ignored = {name: "ignore" for name in new.columns if name not in roles}
            self.datasets.set_roles(dataset, label_task.task, {**roles, **ignored})
            return self.store.get(new.id)

    # --- names of labels ---

    def set_names(self, dataset: str, labels: Sequence[str]) -> Labeling:
        """Set the labels."""
        with self._opened(dataset) as session:
            names = json.dumps(session.new_names(labels), ensure_ascii=False)
            self._add(session, [session.fact("names", value=names)])
            return self.state(dataset)

    def add_names(self, dataset: str, labels: Sequence[str], labeler: str = "") -> Labeling:
        """Add labels."""
        with self._opened(dataset, labeler) as session:
            new = session.new_names(labels, session.state.labels)
            self._add(session, [session.fact("add", value=name) for name in new])
            return self.state(dataset, labeler)

    def rename(self, dataset: str, label: str, new: str, merge: bool = False, labeler: str = "") -> int:
        """Rename a label; with `merge` the new name may be another label's. Returns how many rows had it."""
        with self._opened(dataset, labeler) as session:
            rows, name = session.rows_of(label), session.clean(new)
            if name in session.state.labels and name != label and not merge:
                hint = f"Merge {label} into {name} if both mean the same."
                raise StudioError("bad-setting", f"The label {name} already exists.", given=name, hint=hint)
            if name != label:
                names = json.dumps([label, name], ensure_ascii=False)
                self._add(session, [session.fact("rename", value=names)])
            return rows

    def remove_name(self, dataset: str, label: str, labeler: str = "") -> None:
        """Remove a label that no row has."""
        with self._opened(dataset, labeler) as session:
            if rows := session.rows_of(label):
                what = f"The label {label} is used in {rows_words(rows)}."
                hint = "Merge it into another label, or change the label of these rows."
                raise StudioError("wrong-state", what, hint=hint)
            self._add(session, [session.fact("remove", value=label)])

    # --- suggestions ---

    def suggest(self, dataset: str, progress: Progress = lambda done, total, words: None) -> Learned | None:
        """Train a small classifier on the labels so far and suggest labels for the other rows; waits for it."""
        with self._opened(dataset) as session:
            session.require_labels()
            suggester = session.suggester
            reason = missing_labels(session.state) if suggester else TWO_TEXTS
            if suggester is None or reason:
                raise StudioError("too-few-rows", reason)
        return suggester.run(partial(self._state_for, suggester, dataset), progress)

    def suggest_in_background(self, dataset: str) -> None:
        """The same in the background; `state` has the progress."""
        with self._opened(dataset) as session:
            session.require_labels()
            if suggester := session.suggester:
                suggester.start(partial(self._state_for, suggester, dataset))

    def use_predictions(self, dataset: str, saved: PredictionSet | None) -> None:
        """Take the predictions of a run's model as suggestions. None: those of the small classifier again."""
        with self._opened(dataset) as session:
            session.require_labels()
            names = self.context.workspace.runs.spec(saved.run).data.label_names if saved else ()
            new = [name for name in names if name not in session.state.labels]
            self._add(session, [session.fact("add", value=name) for name in session.new_names(new)])
            self._choose(session, predicted={"run": saved.run, "id": saved.id} if saved else None)
            session.queue.show(None)

    @contextmanager
    def _state_for(self, suggester: Suggester, dataset: str) -> Iterator[LabelingState | None]:
        """Hold the lock, and yield the state for a suggester. None if it is of an earlier version or another column."""
        with self._opened(dataset) as session:
            yield session.state if session.suggester is suggester else None

    # --- files ---

    def export_text(self, dataset: str, format: str = "csv", each: bool = False) -> str:
        """The labels as CSV or JSONL; `each`: one line for each person's label."""
        with self._opened(dataset) as session:
            return export_labels(session, format, each)[0]

    def export_file(self, dataset: str, to: Path | str, each: bool = False) -> int:
        """Write the labels to a file; how many lines."""
        with self._opened(dataset) as session:
            self.context.owner_only("Writing to a folder of this machine")
            to = Path(to)
            text, lines = export_labels(session, to.suffix.lower().lstrip(".") or to.name, each)
        require_folder(to.parent, "to")
        to.write_text(text, encoding="utf-8", newline="")
        return lines

    def import_file(self, dataset: str, path: Path | str, labeler: str = "") -> Carried:
        """Import labels from a file, matched by row number or by text."""
        self.store.get(dataset)
        self.context.owner_only("Reading a file by its path")
        path = Path(path)
        if not path.is_file():
            hint = "Check its name and its folder."
            raise StudioError("unreadable-file", "There is no such file.", given=path.name, hint=hint)
        return self._import(dataset, read(path, limits=self.datasets.read_limits), labeler)

    def import_text(self, dataset: str, text: str, labeler: str = "") -> Carried:
        """Import labels that were pasted."""
        self.store.get(dataset)
        return self._import(dataset, read_text(text, limits=self.datasets.read_limits), labeler)

    def _import(self, dataset: str, table: Table, labeler: str) -> Carried:
        with self._opened(dataset, labeler) as session:
            facts, summary = import_labels(session, table)
            self._add(session, facts)
            return summary

    # --- sessions ---

    def _add(self, session: Session, facts: Sequence[Fact]) -> None:
        """Save facts. Refuse more than a visitor may have."""
        require_room(self.context.workspace, facts)
        self.facts.add(session.record.id, facts)

    @contextmanager
    def _opened(
        self, dataset: str, labeler: str = "", *rows: int, task: str = "", keep: bool = True
    ) -> Iterator[Session]:
        """Hold the lock, and yield a session whose state has all facts, also those that another process has saved.

        Refuse rows that do not exist. `keep`: whether the next session takes over state and queues of this one.
        """
        with self._lock:
            session = self._session(dataset, labeler)
            if task and session.choices.get("task") != task:
                self._choose(session, task=task, work="")
            session.require_columns(session.label_task, {})
            id, last = session.record.id, self._last.get(session.record.id)
            if last and last.source == session.source:
                session.state, session.queues = last.state, last.queues
            else:
                session.state = session.new_state()
            facts = self.facts.after(id, session.state.last)
            if session.state.last and any(fact.what == "undo" for fact in facts):
                session.state, facts = session.new_state(), self.facts.after(id)
            session.state.apply(facts, session.locate_in(self.store))
            if session.label_task is LABELS and not session.columns.get("second"):
                session.suggester = self._suggester(session)
            if session.label_task is LABELS and (chosen := session.choices.get("predicted")):
                runs, version = self.context.workspace.runs, session.record.version
                session.predicted = predicted_labels(chosen, self.store, runs, version, session.columns)
            if keep:
                self._last[id] = session
                self._last.move_to_end(id)
            while len(self._last) > MAX_SESSIONS:
                self._last.popitem(last=False)
            session.require_rows(rows)
            yield session

    def _session(self, dataset: str, labeler: str = "") -> Session:
        """Return a session without a state."""
        record = self.store.get(dataset)
        path, choices = self.store.rows_path(record.id, record.version), self.drafts.get(f"labelling:{record.id}")
        return Session(record, path, {**(choices or {}), **self._of_viewers.get(record.id, {})}, clean_name(labeler))

    def _suggester(self, session: Session) -> Suggester:
        """Return the suggester of the current version. Those of earlier ones end their work."""
        record, column = session.record, session.columns["text"]
        suggester = self.suggesters.get(record.id)
        of_these = record.version, column, session.path  # an imported dataset has the same id in two projects
        if suggester is None or (suggester.version, suggester.column, suggester.path) != of_these:
            folder = self.store.labelling_folder(record.id)
            pool = MAX_POOL_IN_DEMO if self.context.demo else MAX_POOL
            suggester = Suggester(record.version, session.path, column, folder, pool, self.models, self.host)
            self.suggesters[record.id] = suggester
        return suggester

    def _choose(self, session: Session, **choices: Any) -> None:
        session.choices.update(choices)
        if self.context.role == "viewer":
            self._of_viewers.setdefault(session.record.id, {}).update(choices)
            return
        self.drafts.put(f"labelling:{session.record.id}", session.choices)
