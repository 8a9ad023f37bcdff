"""Predictions of a run's model for many rows: of a dataset, a file, or rows without a label. The model host predicts.

Rows are predicted in windows, which the host divides into batches of similar length. What it has after some seconds is
saved in the folder of the run. So a closed page, a cancellation, a time limit or the end of the server loses only
seconds, and the next start predicts the remaining rows. Windows and batches do not depend on when that was, so the
result is the same, to the last digit. Memory holds one window, and one byte for each row.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

from studio.data.row_files import require_writable, write_rows
from studio.data.table import Row, Table
from studio.data.text_lines import LINES
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError, named
from studio.schema.host import RowsRef, RunRef
from studio.schema.predictions import FileJob, FileRequest, PredictedRow, PredictionSet, Which
from studio.schema.report import ChatSettings
from studio.schema.runs import RunRecord
from studio.services.datasets.ingestion import import_options
from studio.services.evaluation.service import Evaluation
from studio.services.labeling.labels import Labels
from studio.services.model_host.client import JOB_MINUTES
from studio.services.predictions.files import digest_of, require_same
from studio.services.predictions.rows import predicted_rows, reviewed
from studio.services.progress import Progress, no_progress
from studio.store.db import now
from studio.store.files import require_room
from studio.store.predictions import PredictionStore
from studio.store.quota import Quota
from studio.tasks import task_named
from studio.tasks.classification import label_role

LABEL_WINDOW, REPLY_WINDOW = 2_000, 256
"""Rows whose batches are made together: of labels, and of replies or answers."""
PIECE_SECONDS = 8.0
"""Time after which the predictions so far are saved."""
ROW_BYTES = 400
"""Disk space of a prediction, roughly."""
SAMPLED = 200
"""Rows that are read to see whether they have a text for the model."""


class _What(NamedTuple):
    """What is predicted."""

    which: Which
    rows: Sequence[int]
    """Row numbers, from 1, in the order of the file."""
    base: bool = False
    job: FileJob | None = None


class _Watch(NamedTuple):
    """How a caller follows the work, and ends it."""

    progress: Callable[[int, int, str], None]
    cancel: Event | None

    @property
    def canceled(self) -> bool:
        """Whether the work should end."""
        return self.cancel is not None and self.cancel.is_set()

    def wait(self) -> None:
        """Say that other predictions of the same run are being made. Raise `StudioError` when the work should end."""
        self.progress(0, 0, "Waiting for other predictions of this model")
        if self.canceled:
            raise StudioError("wrong-state", "This was canceled.", hint="You can start it again.")


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

    def predict(
        self, run: str, dataset: str, progress: Progress = None, cancel: Event | None = None, *, base: bool = False
    ) -> PredictionSet:
        """Predict all rows of a dataset. Rows that have a prediction of the same model are not predicted again.

        `base`: with the base model. `progress` gets the rows that have a prediction, all rows, and what the host does.
        Set `cancel` to end the work after the next batch.
        """
        record = self.datasets.get(dataset)
        what = _What("all", range(1, record.rows + 1), base)
        return self._predict(run, record, what, _Watch(progress or no_progress, cancel))

    def predict_file(
        self, request: FileRequest, progress: Progress = None, cancel: Event | None = None
    ) -> PredictionSet:
        """Predict all rows of DATA, and write them to a file with their predictions.

        The same request continues where an earlier one ended, and does not read DATA again.

        Raises:
            StudioError: `wrong-state` when earlier predictions for this file are not complete, and the model, the rows
                or an option is another one now. `restart` predicts all rows again.
        """
        self.context.owner_only("Writing to a file")
        record, _ = self.finished.get(request.run)
        out, watch = Path(request.out).resolve(), _Watch(progress or no_progress, cancel)
        require_writable(out)
        store = self._store(record.id)
        digest, source = digest_of(request, self.datasets)
        job = FileJob(out=str(out), digest=digest, reading=import_options(request.reading).chosen)
        earlier = self._earlier(store, record, request, job)
        if source is None and earlier is not None:
            source = self.datasets.get(earlier.dataset, earlier.version)
        if source is None:
            source = self.datasets.open(
                request.data, lambda rows, size: watch.progress(0, 0, f"Reading {rows:,} rows"), **request.reading
            )
        require_room(out.parent, source.bytes)
        saved = self._predict(record.id, source, _What("all", range(1, source.rows + 1), request.base, job), watch)
        if saved.complete:
            watch.progress(saved.done, saved.total, "Writing the file")
            write_rows(predicted_rows(self.datasets.table(source.id, source.version), store, saved.id), out)
        return saved

    def begun(self, request: FileRequest) -> PredictionSet | None:
        """Earlier predictions for a file that are not complete."""
        self.context.owner_only("Writing to a file")
        out = str(Path(request.out).resolve())
        saved = self._store(self.finished.store.get(request.run).id).all()
        return next((each for each in saved if each.job and each.job.out == out and not each.complete), None)

    def _earlier(
        self, store: PredictionStore, record: RunRecord, request: FileRequest, job: FileJob
    ) -> PredictionSet | None:
        """Earlier predictions that this request continues, or has only to write. Their dataset still exists."""
        begun = self.begun(request)
        if begun is not None and not request.restart:
            require_same(begun, record.name, request.base, _step(record), job)
        same = [
            each
            for each in store.all()
            if each.job and (each.job.digest, each.job.reading, each.base) == (job.digest, job.reading, request.base)
        ]
        if request.restart:
            for each in [*([begun] if begun else []), *same]:
                store.delete(each.id)
        known = {each.id for each in self.datasets.all()}
        for each in same:
            if each.dataset not in known:  # the rows were deleted
                store.delete(each.id)
        return next((each for each in same if each.dataset in known), None)

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
        saved = self._predict(run, record, _What("unlabeled", rows), _Watch(progress or no_progress, cancel))
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
        """Rows of the run's dataset without a label and with a text. 0 where the model can't label them."""
        if self.unavailable_reason(run):
            return 0
        return len(self.labels.open_rows(self.finished.store.get(run).dataset))

    def _choose_columns(self, run: str, record: DatasetRecord) -> list[int]:
        """Have the labeler read the run's text column and write its label column. Returns the rows without a label."""
        by_role = {role: name for name, role in self.finished.store.spec(run).data.roles.items()}
        columns = {what: by_role[what] for what in ("text", "label") if by_role.get(what) in record.columns}
        self.labels.choose(record.id, "label", columns)
        return self.labels.open_rows(record.id)

    def _predict(self, run: str, source: DatasetRecord, what: _What, watch: _Watch) -> PredictionSet:
        record, _ = self.finished.get(run)
        ref = self.finished.ref(record.id)
        roles = self.roles_for(ref.spec.data, source, inputs=True)
        self._require_texts(source, ref, roles)
        store = self._store(record.id)
        with store.writing(watch.wait):
            id = f"{source.id}-v{source.version}-{what.which}{'-base' if what.base else ''}"
            earlier = store.find(id)
            if earlier is None or earlier.step != _step(record) or (earlier.roles and earlier.roles != roles):
                store.delete(id)
                earlier = None
            known = _known(store, id, source.rows)
            saved = PredictionSet(
                id=id,
                run=record.id,
                dataset=source.id,
                version=source.version,
                name=source.name,
                which=what.which,
                base=what.base,
                roles=roles,
                job=what.job or (earlier and earlier.job),
                total=known.count(1) + sum(not known[row] for row in what.rows),
                done=known.count(1),
                step=_step(record),
                created=now(),
                seconds=earlier.seconds if earlier and 1 in known else 0.0,
            )
            self._require_room(store, saved.total - saved.done)
            pieces = _Pieces(self, store, store.keep(saved), watch)
            path = str(self.datasets.store.rows_path(source.id, source.version))
            return pieces.predict(ref, path, what.rows, known)

    def _require_texts(self, source: DatasetRecord, ref: RunRef, roles: Mapping[str, str]) -> None:
        """Refuse rows that have nothing for the model to read."""
        task, table = task_named(ref.spec.config.task), self.datasets.table(source.id, source.version)
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
        return write(self._table(run, id))

    def export_file(self, run: str, id: str, to: Path | str) -> int:
        """Write the same to a file. Its extension names the format. Returns the number of predictions."""
        self.context.owner_only("Writing to a folder of this machine")
        to = Path(to)
        require_writable(to)
        write_rows(self._table(run, id), to)
        return self._store(self.finished.store.get(run).id).get(id).done

    def workbook(self, run: str, id: str, folder: Path) -> Path:
        """Write the same as an Excel workbook into a folder. Raise `StudioError` for more rows than a sheet holds."""
        write_rows(self._table(run, id), path := folder / "predictions.xlsx")
        return path

    def _table(self, run: str, id: str) -> Table:
        record = self.finished.store.get(run)
        store = self._store(record.id)
        saved = store.get(id)
        table = self.datasets.table(saved.dataset, saved.version)

        def add_name(number: int, predicted: PredictedRow | None) -> Row:
            return {"predicted_by": record.name if predicted else None}

        if saved.which != "unlabeled":
            return predicted_rows(table, store, id, ["predicted_by"], add_name)
        column, given = self.labels.given(saved.dataset, saved.version)
        add_review = reviewed(column, given)
        columns = ["predicted_by", column, "labeled_by", "review"]
        return predicted_rows(
            table, store, id, columns, lambda number, each: add_name(number, each) | add_review(number, each)
        )


class _Pieces:
    """The work of one call: rows are predicted and saved piece by piece."""

    def __init__(self, predictions: Predictions, store: PredictionStore, saved: PredictionSet, watch: _Watch) -> None:
        self.host, self.store, self.saved, self.watch = predictions.host, store, saved, watch
        self.runs, self.datasets = predictions.finished.store, predictions.datasets
        self.settings = predictions.settings
        self.limit = JOB_MINUTES * 60 if predictions.context.workspace.is_visitors else 0.0
        """Seconds after which a visitor's work ends."""
        self.piece = 0
        """Pieces that were saved."""

    def predict(self, ref: RunRef, path: str, rows: Sequence[int], known: bytearray) -> PredictionSet:
        """Predict the rows that are not `known` (1 for each row number that is)."""
        began = time.monotonic()
        size = LABEL_WINDOW if task_named(ref.spec.config.task).has_labels else REPLY_WINDOW
        if not self.saved.complete:
            self.watch.progress(self.saved.done, self.saved.total, "Loading the model")
        for _, numbers in groupby(rows, key=lambda row: (row - 1) // size):
            window = tuple(numbers)
            while not all(known[row] for row in window):
                if self.watch.canceled:
                    return self.saved
                if self.limit and self.piece and time.monotonic() - began > self.limit:
                    return self._keep(note=f"Predictions may take {JOB_MINUTES:g} minutes at a time in this demo.")
                self._predict_piece(ref, RowsRef(path=path, numbers=window), known)
        return self.saved

    def _predict_piece(self, ref: RunRef, window: RowsRef, known: bytearray) -> None:
        """Predict some seconds' worth of a window's rows, and save them."""
        started = time.monotonic()
        result = self.host.result(
            "predict",
            self._progress,
            self.watch.cancel,
            run=ref,
            rows=window,
            known=tuple(row for row in window.numbers or () if known[row]),
            within=PIECE_SECONDS,
            labels=self.saved.which == "unlabeled",
            base=self.saved.base,
            roles=self.saved.roles,
            settings=self.settings,
        )
        predicted = [
            PredictedRow(row=row, prediction=text, confidence=confidence, labels=labels)
            for row, text, confidence, labels in result.get("predictions", ())
        ]
        self.runs.get(self.saved.run)  # refused if the run or the dataset was deleted meanwhile
        self.datasets.get(self.saved.dataset, self.saved.version)
        self.store.get(self.saved.id)  # as well: else a part of the rows would count as all of them
        self.store.append(self.saved.id, predicted)
        for each in predicted:
            known[each.row] = 1
        self.piece += 1
        took = max(0.01, time.monotonic() - started)
        self._keep(done=self.saved.done + len(predicted), seconds=round(self.saved.seconds + took, 2))
        self.watch.progress(self.saved.done, self.saved.total, "Predicting")

    def _progress(self, done: int, total: int, message: str) -> None:
        """Report the progress of a piece."""
        self.watch.progress(self.saved.done + done, self.saved.total, message)

    def _keep(self, **changes: Any) -> PredictionSet:
        self.saved = self.store.keep(self.saved.model_copy(update=changes))
        return self.saved


def _known(store: PredictionStore, id: str, rows: int) -> bytearray:
    """1 for each row number that has a prediction, else 0."""
    known = bytearray(rows + 1)
    for row, *_ in store.scan(id):
        if row <= rows:
            known[row] = 1
    return known


def _step(record: RunRecord) -> int:
    """The training step of a run's model."""
    return record.step if record.best_step is None else record.best_step
