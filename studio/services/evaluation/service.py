"""Evaluation of runs on their own rows or on a file. The model host does the work."""

from studio.schema.dataset import DatasetRecord, DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.host import RowsRef
from studio.schema.report import FEW_TEST_ROWS, Report
from studio.schema.runs import RunRecord
from studio.services.labeling.labels import Labels
from studio.services.model_host.client import HostClient
from studio.services.progress import Progress
from studio.services.runs.finished_runs import FinishedRuns
from studio.store.files import write_whole
from studio.store.runs import RunFolder


class Evaluation:
    """Evaluations of a workspace's runs."""

    def __init__(self, finished: FinishedRuns, host: HostClient, labels: Labels) -> None:
        self.labels = labels
        self.finished, self.context = finished, finished.context
        self.datasets = finished.datasets
        self.host = host.of(self.context.workspace)

    def are_rows_deleted(self, run: str) -> bool:
        """Whether the rows of a run were deleted, so that it can't be evaluated or cross-validated any more."""
        record, store = self.finished.store.get(run), self.datasets.store
        spec, folder = self.finished.store.spec(record.id), self.finished.store.folder(record.id)
        if spec.validation_dataset and store.has(spec.validation_dataset, spec.validation_version):
            return False
        return bool(folder.read_splits()) and not store.has(record.dataset, record.dataset_version)

    def evaluate(self, run: str, data: str | None = None, progress: Progress = None) -> Report:
        """Evaluate base and fine-tuned model on test rows, else validation rows, or on `data`.

        Without `data`, the report is saved with the run.
        """
        record, folder = self.finished.get(run)
        ref = self.finished.ref(record.id)
        if data is None:
            split, rows = self._own_rows(record, folder)
            roles = None
        else:
            other = self.datasets.open(data)
            split, roles = "file", self.roles_for(ref.spec.data, other)
            rows = RowsRef(path=str(self.datasets.store.rows_path(other.id, other.version)), numbers=None)
        result = self.host.result("evaluate", progress, run=ref, rows=rows, split=split, roles=roles)
        report = Report.model_validate(result["report"])
        if data is None:
            before = self.report(record.id)
            fields = {
                "cross_validation": before and before.cross_validation,
                "accepted_labels": self._accepted_labels(record, rows),
            }
            report = report.model_copy(update=fields)
            write_whole(folder.report, report.model_dump_json(indent=2))
        return report

    def report(self, run: str) -> Report | None:
        """The saved report."""
        folder = self.finished.store.folder(self.finished.store.get(run).id)
        return Report.model_validate_json(folder.report.read_text()) if folder.report.exists() else None

    def roles_for(self, learned: DatasetSpec, data: DatasetRecord, inputs: bool = False) -> dict[str, str]:
        """Column → role of other rows: the columns of the run where they exist, else as inferred.

        With `inputs` the column to predict may be missing. Otherwise `data` must be the newest version.
        """
        own = {column: role for column, role in learned.roles.items() if column in data.columns}
        if own == learned.roles:
            return own
        if inputs:
            return self.datasets.inputs_of(data.id, learned.task, own, data.version)
        roles = None if data.spec is not None and data.spec.task == learned.task else own or None
        return dict(self.datasets.resolve_spec(data.id, learned.task, roles)[0].roles)

    def _accepted_labels(self, record: RunRecord, rows: RowsRef) -> int:
        """How many of a run's own rows have a label that a model suggested and a person accepted."""
        dataset, version = record.dataset, record.dataset_version
        if rows.numbers is None:
            spec = self.finished.store.spec(record.id)
            dataset, version = spec.validation_dataset or dataset, spec.validation_version
        accepted = self.labels.accepted(dataset, version)
        return len(accepted if rows.numbers is None else accepted.intersection(rows.numbers))

    def _own_rows(self, record: RunRecord, folder: RunFolder) -> tuple[str, RowsRef]:
        """The test rows of a run, else its validation rows. Few test rows and validation rows together, if the
        validation rows did not choose the checkpoint."""
        test, validation = (self.finished.rows(record, folder, split) for split in ("test", "validation"))
        spec = self.finished.store.spec(record.id)
        if test and test.numbers and validation and validation.numbers and len(test.numbers) < FEW_TEST_ROWS:
            if not spec.config.validation_chooses:
                numbers = tuple(sorted({*test.numbers, *validation.numbers}))
                return "test+validation", test.model_copy(update={"numbers": numbers})
        if test:
            return "test", test
        if validation:
            return "validation", validation
        if spec.validation_dataset:
            path = self.datasets.store.rows_path(spec.validation_dataset, spec.validation_version)
            return "validation", RowsRef(path=str(path), numbers=None)
        raise StudioError(
            "too-few-rows",
            "There are no test or validation rows for this evaluation: the run has none, or they were deleted.",
            hint="Import the rows again and start a new run (studio evaluate RUN --data FILE uses other rows).",
        )
