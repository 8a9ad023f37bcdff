"""How a finished run was trained: its rows by split and its losses, for exports that repeat it."""

import json

from studio.data.checks import usable_rows
from studio.data.parquet_store import open_parquet
from studio.schema.events import EvaluationEvent, ReadEvent, StepEvent
from studio.schema.host import RowsRef, TrainingFacts
from studio.schema.runs import RunRecord
from studio.services.runs.finished_runs import FinishedRuns
from studio.store.runs import RunFolder
from studio.tasks import task_named


def training_facts(finished: FinishedRuns, record: RunRecord, folder: RunFolder) -> TrainingFacts:
    """Return the rows and losses of a run. After a resume, the last loss of a repeated step counts."""
    workspace, rows_by_split = finished.context.workspace, {}
    for split in ("train", "validation", "test"):
        if rows := finished.rows(record, folder, split):
            rows_by_split[split] = rows
    if other := _other_validation(finished, record, folder):
        rows_by_split["validation"] = other
    training: dict[int, float] = {}
    validation: dict[int, float] = {}
    padded = None
    for stored in workspace.events.after(record.id, limit=10**9, kinds=("step", "evaluation", "read")):
        event = stored.event
        if isinstance(event, StepEvent):
            training[event.step] = event.loss
        elif isinstance(event, EvaluationEvent):
            validation[event.step] = event.eval_loss
        elif isinstance(event, ReadEvent):
            padded = event.padded
    return TrainingFacts(
        splits=rows_by_split, training_losses=training, validation_losses=validation, padded=padded, steps=record.steps
    )


def _other_validation(finished: FinishedRuns, record: RunRecord, folder: RunFolder) -> RowsRef | None:
    """The usable rows of the dataset that the run was validated on, if it was another one."""
    spec = finished.store.spec(record.id)
    if spec.validation_dataset is None or not folder.splits.exists():
        return None
    splits = json.loads(folder.splits.read_text(encoding="utf-8"))
    version = int(splits.get("validation_version", spec.validation_version))
    path = finished.datasets.store.rows_path(spec.validation_dataset, version)
    if not path.exists():
        return None
    usable = usable_rows(open_parquet(path), task_named(spec.config.task), spec.data.roles, left_out=spec.data.left_out)
    return RowsRef(path=str(path), numbers=tuple(number for number, _ in usable))
