"""Data checks and fixes of datasets; with a model also for rows that are too long for it."""

from collections.abc import Callable
from dataclasses import replace

from studio.data.checks.too_long import TooLong
from studio.data.dataset_size import what_rows_allow
from studio.schema.dataset import CheckReport, DatasetRecord, DatasetSpec
from studio.services.datasets.check_options import DEFAULT_CHECKS, CheckOptions
from studio.services.datasets.service import Datasets
from studio.services.models.service import Models
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
        options: CheckOptions = DEFAULT_CHECKS,
        progress: Callable[[int], None] | None = None,
    ) -> CheckReport:
        """What is wrong with the rows; with a model also which are longer than the maximum length.

        `progress` gets the number of rows checked so far.
        """
        if options.model is not None:
            spec, _ = self.datasets.resolve_spec(dataset, task, options.roles, options.version)
            whole = options.whole or TooLong.kind in options.leave_out
            options = self._with_lengths(dataset, spec, options, whole)
        return self.datasets.check(dataset, task, options, progress)

    def fix(self, dataset: str, kind: str, options: CheckOptions = DEFAULT_CHECKS) -> DatasetRecord:
        """Remove or repair the rows with one kind of problem: a new version. Rows are too long for a given model."""
        return self.datasets.fix(dataset, kind, self.measured(dataset, kind, options))

    def measured(self, dataset: str, kind: str, options: CheckOptions) -> CheckOptions:
        """The options for a fix, with the lengths of all rows where the kind of problem depends on them.

        Raises:
            StudioError: when there is no such dataset.
        """
        self.datasets.get(dataset)
        if kind == TooLong.kind and options.model is not None:
            return self._with_lengths(dataset, self.datasets.spec(dataset), options, True)
        return options

    def is_cached(self, dataset: str, task: str | None = None, whole: bool = False) -> bool:
        """Whether `check` answers at once, because these rows were checked before."""
        return self.datasets.is_checked(dataset, task, whole)

    def size_advice(self, dataset: str, task: str | None = None) -> str:
        """What to expect of this number of rows, in a sentence."""
        report = self.datasets.check(dataset, task)
        return what_rows_allow(report.usable, report.labels)

    def _with_lengths(self, dataset: str, spec: DatasetSpec, options: CheckOptions, whole: bool) -> CheckOptions:
        """The options with the lengths of the rows in tokens, and the maximum length."""
        assert options.model is not None
        info = self.models.ready(options.model)
        limit = self.previews.limit(dataset, info, spec, {"max_length": options.max_length})
        return replace(options, lengths=self.lengths.of(dataset, info, spec, whole=whole).by_row, max_length=limit)
