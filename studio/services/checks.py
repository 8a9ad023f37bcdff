"""Data checks and fixes of datasets; with a model also for rows that are too long for it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.data.checks.too_long import TooLong
from studio.data.dataset_size import what_rows_allow
from studio.schema.dataset import CheckReport, DatasetRecord, DatasetSpec
from studio.services.datasets.service import Datasets
from studio.services.models import Models
from studio.services.planning.lengths import Lengths
from studio.services.planning.preview import Previews


class DataChecks:
    """The data checks of a workspace."""

    def __init__(self, datasets: Datasets, models: Models, lengths: Lengths, previews: Previews) -> None:
        self.datasets, self.models, self.lengths, self.previews = datasets, models, lengths, previews

    def check(
        self,
        dataset: str,
        task: str | None = None,
        roles: Mapping[str, str] | None = None,
        model: str | None = None,
        max_length: int | None = None,
        leave_out: Sequence[str] = (),
        version: int | None = None,
        whole: bool = False,
        validation: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> CheckReport:
        """What is wrong with the rows; with a model also which are longer than the maximum length.

        Args:
            whole: search all rows for near-duplicates, also where a sample is the default.
            validation: id of the dataset that the run is validated on.
            progress: gets the number of rows checked so far.
        """
        options: dict[str, Any] = {"whole": whole, "validation": validation, "progress": progress}
        if model is not None:
            spec, _ = self.datasets.resolve_spec(dataset, task, roles, version)
            options |= self._length_options(dataset, spec, model, max_length, whole or TooLong.kind in leave_out)
        return self.datasets.check(dataset, task, roles, version=version, leave_out=leave_out, **options)

    def fix(
        self,
        dataset: str,
        kind: str,
        whole: bool = False,
        validation: str | None = None,
        model: str | None = None,
        max_length: int | None = None,
    ) -> DatasetRecord:
        """Remove or repair the rows with one kind of problem: a new version. Rows are too long for a given model."""
        options: dict[str, Any] = {"whole": whole, "validation": validation}
        if kind == TooLong.kind and model is not None:
            options |= self._length_options(dataset, self.datasets.spec(dataset), model, max_length, True)
        return self.datasets.fix(dataset, kind, **options)

    def is_cached(self, dataset: str, task: str | None = None, whole: bool = False) -> bool:
        """Whether `check` answers at once, because these rows were checked before."""
        return self.datasets.is_checked(dataset, task, whole)

    def size_advice(self, dataset: str, task: str | None = None) -> str:
        """What to expect of this number of rows, in a sentence."""
        report = self.datasets.check(dataset, task)
        return what_rows_allow(report.usable, report.labels)

    def _length_options(
        self, dataset: str, spec: DatasetSpec, model: str, max_length: int | None, whole: bool
    ) -> dict[str, Any]:
        """Lengths of the rows in tokens, and the maximum length."""
        info = self.models.ready(model)
        limit = self.previews.limit(dataset, info, spec, {"max_length": max_length})
        return {"lengths": self.lengths.of(dataset, info, spec, whole=whole).by_row, "max_length": limit}
