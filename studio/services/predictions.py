"""Predictions of a run's model for many rows: all rows of a dataset, or those without a label. The model host predicts.

Rows are predicted in pieces, and each piece is saved in the folder of the run. So a closed page, a cancellation, a time
limit or the end of the server loses at most one piece, and the next start predicts the remaining rows.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from studio.data.table import changed
from studio.data.text_lines import LINES
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError, named
from studio.schema.host import RowsRef, RunRef
from studio.schema.predictions import REVIEWS, PredictedRow, PredictionSet, Which
from studio.schema.report import ChatSettings
from studio.schema.runs import RunRecord
from studio.services.evaluation import Evaluation
from studio.services.labeling.labels import Labels
from studio.services.model_host.client import JOB_MINUTES
from studio.services.progress import Progress, no_progress
from studio.store.db import now
from studio.store.files import require_folder, require_room
from studio.store.predictions import PredictionStore
from studio.store.quota import Quota
from studio.tasks import task_named
from studio.tasks.classification import label_role

FIRST_PIECE, LARGEST_PIECE = 16, 2_000
"""Rows of the first piece, and of the largest one."""
PIECE_SECONDS = 8.0
"""Time that a piece should take. Its number of rows follows from the speed so far."""
ROW_BYTES = 400
"""Disk space of a prediction, roughly."""
SAMPLED = 200
"""Rows that are read to see whether they have a text for the model."""
PERSON = "a person"
"""Who labeled a row, if they gave no name."""


class _Watch(NamedTuple):
    """How a caller follows the work, and ends it."""

    progress: Callable[[int, int, str], None]
    cancel: Event | None

    @property
    def canceled(self) -> bool:
        """Whether the work should end."""
        return self.cancel is not None and self.cancel.is_set()


class Predictions:
    """Predictions of a workspace's runs."""

    def __init__(self, evaluation: Evaluation, labels: Labels) -> None:
        self.finished, self.datasets, self.host = evaluation.finished, evaluation.datasets, evaluation.host
        self.roles_for, self.labels, self.context = evaluation.roles_for, labels, evaluation.context

    @property
    def settings(self) -> ChatSettings:
        """How replies are generated: the defaults, within the limits of a demo."""
        limits = self.context.workspace.limits
        is_limited = limits.over("chat_tokens", ChatSettings().max_new_tokens)
        return ChatSettings(max_new_tokens=limits.chat_tokens) if is_limited else ChatSettings()

    # --- what is saved ---

    def all(self, run: str) -> list[PredictionSet]:
        """The saved predictions of a run, newest first."""
        return self._store(self.finished.store.get(run).id).all()

    def delete(self, run: str, id: str) -> None:
        """Delete saved predictions. Labels that a person accepted stay."""
        store = self._store(self.finished.store.get(run).id)
        store.delete(store.get(id).id)

    def is_outdated(self, saved: PredictionSet) -> bool:
        """Whether the run has another model since, because its training was resumed."""
        return saved.step != _step(self.finished.store.get(saved.run))

    # --- predicting ---

    def predict(self, run: str, dataset: str, progress: Progress = None, cancel: Event | None = None) -> PredictionSet:
        """Predict all rows of a dataset. Rows that have a prediction of the same model are not predicted again.

        `progress` gets the rows that have a prediction, all rows, and what the host does. Set `cancel` to end the work
        after the next batch.
        """
        record = self.datasets.get(dataset)
        return self._predict(run, record, "all", range(1, record.rows + 1), _Watch(progress or no_progress, cancel))

    def label_rest(
        self, run: str, dataset: str = "", progress: Progress = None, cancel: Event | None = None
    ) -> PredictionSet:
        """Predict the rows without a label, as suggestions for the person who labels. Default: the run's dataset.

        A suggestion is no label. It becomes one when a person accepts it.
        """
        reason = self.unavailable_reason(run, dataset)
        if reason:
            raise StudioError("wrong-state", reason, given=run, valid="a run that predicts one label for each row")
        record = self.datasets.get(dataset or self.finished.store.get(run).dataset)
        rows = self._choose_columns(run, record)
        saved = self._predict(run, record, "unlabeled", rows, _Watch(progress or no_progress, cancel))
        self.labels.use_predictions(record.id, saved)
        return saved

    def unavailable_reason(self, run: str, dataset: str = "") -> str:
        """Why the model can't label the rest of a dataset (default: the run's). Empty if it can."""
        record, _ = self.finished.get(run)
        spec = self.finished.store.spec(record.id)
        if not task_named(spec.config.task).has_labels or label_role(spec.data.roles) != "label":
            return f"The model {record.name} does not predict one label for each row."
        try:
            columns = self.datasets.get(dataset or record.dataset).columns
        except StudioError:
            return "The dataset of this run was deleted."
        texts = [name for name, role in spec.data.roles.items() if role in ("text", "second")]
        missing = [name for name in texts if name not in columns]
        return f"The dataset has no column “{missing[0]}”, which the model reads." if missing else ""

    def remaining(self, run: str) -> int:
        """Rows of the run's dataset without a label. 0 where the model can't label them."""
        if self.unavailable_reason(run):
            return 0
        record = self.datasets.get(self.finished.store.get(run).dataset)
        return record.rows - self.labels.done(record.id)

    def _choose_columns(self, run: str, record: DatasetRecord) -> list[int]:
        """Have the labeler read the run's text column and write its label column. Returns the rows without a label."""
        by_role = {role: name for name, role in self.finished.store.spec(run).data.roles.items()}
        columns = {what: by_role[what] for what in ("text", "label") if by_role.get(what) in record.columns}
        self.labels.choose(record.id, "label", columns)
        return self.labels.open_rows(record.id)

    def _predict(
        self, run: str, source: DatasetRecord, which: Which, rows: Sequence[int], watch: _Watch
    ) -> PredictionSet:
        record, _ = self.finished.get(run)
        ref = self.finished.ref(record.id)
        roles = self.roles_for(ref.spec.data, source.id, inputs=True)
        self._require_texts(source, ref, roles)
        store = self._store(record.id)
        with store.writing():
            saved = self._begin(store, record, source, which, rows)
            known = store.rows(saved.id)
            todo = [row for row in rows if row not in known]
            self._require_room(store, len(todo))
            path = str(self.datasets.store.rows_path(source.id, source.version))
            pieces = _Pieces(self, store, saved, watch)
            return pieces.predict(ref, RowsRef(path=path, numbers=tuple(todo)), roles)

    def _begin(
        self, store: PredictionStore, record: RunRecord, source: DatasetRecord, which: Which, rows: Sequence[int]
    ) -> PredictionSet:
        """The description of predictions that begin now, or that continue earlier ones of the same model."""
        id = f"{source.id}-v{source.version}-{which}"
        earlier = next((each for each in store.all() if each.id == id), None)
        if earlier is None or earlier.step != _step(record):
            store.delete(id)
        known = store.rows(id)
        seconds = earlier.seconds if earlier and known else 0.0
        return store.keep(
            PredictionSet(
                id=id,
                run=record.id,
                dataset=source.id,
                version=source.version,
                name=source.name,
                which=which,
                total=len({*known, *rows}),
                done=len(known),
                step=_step(record),
                created=now(),
                seconds=seconds,
            )
        )

    def _require_texts(self, source: DatasetRecord, ref: RunRef, roles: Mapping[str, str]) -> None:
        """Refuse rows that have nothing for the model to read."""
        task, table = task_named(ref.spec.config.task), self.datasets.table(source.id)
        if not len(table) or any(task.text_of(row, roles).strip() for row in table.sample(SAMPLED)):
            return
        read = [f"{name} ({role})" for name, role in ref.spec.data.roles.items() if role not in ("label", "labels")]
        raise StudioError(
            "columns-unclear",
            f"The rows of {source.name} have no text for this model.",
            given=f"the columns {', '.join(source.columns[:20])}",
            valid=f"the columns that the model learned from: {', '.join(read)}",
            hint="Rename the columns of the file, or set their roles on the Data tab.",
        )

    def _require_room(self, store: PredictionStore, rows: int) -> None:
        require_room(store.folder, rows * ROW_BYTES)
        Quota(self.context.workspace).require(rows * ROW_BYTES, "A file of predictions")

    def _store(self, run: str) -> PredictionStore:
        return PredictionStore(self.finished.store.folder(run).predictions)

    # --- files ---

    def lines(self, run: str, id: str, format: str = "csv") -> Iterator[str]:
        """All rows of the dataset with their predictions, as the text of a CSV or JSONL file, in pieces.

        Columns are added: `prediction`, `confidence` where there is one, and `predicted_by`. Predictions of rows
        without a label also get the label that a person gave since, with `labeled_by` and `review`.
        """
        write = named(LINES, format, "format", field="format", code="unknown-format")
        record = self.finished.store.get(run)
        store = self._store(record.id)
        saved = store.get(id)
        table, predicted = self.datasets.table(saved.dataset, saved.version), store.rows(id)
        cells: dict[int, dict[str, Any]] = {}
        scored = any(each.confidence is not None for each in predicted.values())
        for row in range(1, len(table) + 1):
            each = predicted.get(row)
            cells[row] = {"prediction": each.prediction if each else None}
            if scored:
                cells[row]["confidence"] = each.confidence if each else None
            cells[row]["predicted_by"] = record.name if each else None
        if saved.which == "unlabeled":
            self._add_labels(saved, predicted, cells)
        return write(changed(table, values=cells))

    def export_file(self, run: str, id: str, to: Path | str) -> int:
        """Write the same to a file that ends in .csv or .jsonl. Returns the number of predictions."""
        self.context.owner_only("Writing to a folder of this machine")
        to = Path(to)
        lines = self.lines(run, id, to.suffix.lower().lstrip(".") or to.name)
        require_folder(to.parent, "out")
        with to.open("w", encoding="utf-8", newline="") as out:
            out.writelines(lines)
        return self._store(self.finished.store.get(run).id).get(id).done

    def _add_labels(
        self, saved: PredictionSet, predicted: Mapping[int, PredictedRow], cells: dict[int, dict[str, Any]]
    ) -> None:
        """Add what people gave these rows, as far as the rows have not moved since."""
        column, given = self.labels.given(saved.dataset, saved.version)
        for row, cell in cells.items():
            value, labeler = given.get(row, (None, ""))
            review = None
            if (each := predicted.get(row)) is not None:
                accepted, corrected, open_ = REVIEWS
                review = open_ if value is None else accepted if value == each.prediction else corrected
            cell.update({column: value, "labeled_by": None if value is None else labeler or PERSON, "review": review})


class _Pieces:
    """The work of one call: rows are predicted and saved piece by piece."""

    def __init__(self, predictions: Predictions, store: PredictionStore, saved: PredictionSet, watch: _Watch) -> None:
        self.host, self.store, self.saved, self.watch = predictions.host, store, saved, watch
        self.runs, self.datasets = predictions.finished.store, predictions.datasets
        self.settings = predictions.settings
        self.limit = JOB_MINUTES * 60 if predictions.context.workspace.is_visitors else 0.0
        """Seconds after which a visitor's work ends."""

    def predict(self, ref: RunRef, rows: RowsRef, roles: dict[str, str]) -> PredictionSet:
        todo, size, began = list(rows.numbers or ()), FIRST_PIECE, time.monotonic()
        self.watch.progress(self.saved.done, self.saved.total, "Loading the model")
        while todo and not self.watch.canceled:
            started = time.monotonic()
            self.datasets.get(self.saved.dataset, self.saved.version)  # refused if it was deleted meanwhile
            piece = RowsRef(path=rows.path, numbers=tuple(todo[:size]))
            try:
                result = self.host.result(
                    "predict", self._progress, run=ref, rows=piece, roles=roles, settings=self.settings
                )
            except _CanceledError:
                break
            predicted = [
                PredictedRow(row=row, prediction=text, confidence=confidence, labels=labels)
                for row, text, confidence, labels in result["predictions"]
            ]
            self.runs.get(self.saved.run)  # refused if it was deleted meanwhile
            self.store.get(self.saved.id)  # as well: else a part of the rows would count as all of them
            self.store.append(self.saved.id, predicted)
            todo = todo[size:]
            took = max(0.01, time.monotonic() - started)
            self._keep(done=self.saved.done + len(predicted), seconds=round(self.saved.seconds + took, 2))
            size = max(FIRST_PIECE, min(LARGEST_PIECE, 4 * size, int(size * PIECE_SECONDS / took)))
            self.watch.progress(self.saved.done, self.saved.total, "Predicting")
            if todo and self.limit and time.monotonic() - began > self.limit:
                return self._keep(note=f"Predictions may take {JOB_MINUTES:g} minutes at a time in this demo.")
        return self.saved

    def _progress(self, done: int, total: int, message: str) -> None:
        """Report the progress of a piece. Ends it after a cancellation."""
        if self.watch.canceled:
            raise _CanceledError
        self.watch.progress(self.saved.done + done, self.saved.total, message)

    def _keep(self, **changes: Any) -> PredictionSet:
        self.saved = self.store.keep(self.saved.model_copy(update=changes))
        return self.saved


class _CanceledError(Exception):
    """A person has canceled."""


def _step(record: RunRecord) -> int:
    """The training step of a run's model."""
    return record.step if record.best_step is None else record.best_step
