"""Finished runs, as the model host needs them."""

from studio.schema.host import RowsRef, RunRef
from studio.schema.runs import RunRecord
from studio.services.context import Context
from studio.services.datasets.service import Datasets
from studio.services.models.service import Models
from studio.services.runs.run_messages import wrong_state
from studio.store.runs import RunFolder
from studio.training.methods import quantizes_base


class FinishedRuns:
    """Runs of a workspace that have a result."""

    def __init__(self, context: Context, datasets: Datasets, models: Models) -> None:
        self.context, self.datasets, self.models = context, datasets, models
        self.store = context.workspace.runs

    def ref(self, run: str) -> RunRef:
        """What the model host loads for a run."""
        record, folder = self.get(run)
        spec = self.store.spec(record.id)
        info = self.models.ready(spec.config.model)
        return RunRef(
            info=info,
            spec=spec,
            folder=str(folder.root),
            trusted=self.models.trusted(info),
            quantized=quantizes_base(spec.config.method),
            learned_from=self.rows(record, folder, "train"),
        )

    def get(self, run: str) -> tuple[RunRecord, RunFolder]:
        """A run and its folder.

        Raises:
            StudioError: `wrong-state` when the run has no result.
        """
        record = self.store.get(run)
        folder = self.store.folder(record.id)
        if not record.has_result or folder.result is None:
            valid = "a run that has finished, or was stopped with its best checkpoint"
            raise wrong_state(record, "The run {name} has no fine-tuned model yet.", valid)
        return record, folder

    def rows(self, record: RunRecord, folder: RunFolder, split: str) -> RowsRef | None:
        """The rows of a split, as the worker saved them. None when they are gone."""
        numbers = folder.read_splits().get(split)
        path = self.datasets.store.rows_path(record.dataset, record.dataset_version)
        return RowsRef(path=str(path), numbers=tuple(numbers)) if numbers and path.exists() else None
