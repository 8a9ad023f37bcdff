"""Rows that are left out of a run. They are determined once, before the run is planned."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from studio.data.checks.bad_line import BadLines
from studio.data.checks.too_long import TooLong
from studio.schema.dataset import DatasetSpec
from studio.schema.models import ModelInfo
from studio.services.datasets.check_options import CheckOptions
from studio.services.datasets.service import Datasets
from studio.services.planning.lengths import Lengths
from studio.services.planning.preview import Previews
from studio.tasks import task_named


class Exclusions:
    """Rows that are left out of a workspace's runs."""

    def __init__(self, datasets: Datasets, lengths: Lengths, previews: Previews) -> None:
        self.datasets, self.lengths, self.previews = datasets, lengths, previews

    def with_rows_left_out(
        self,
        dataset: str,
        info: ModelInfo,
        spec: DatasetSpec,
        kinds: Iterable[str],
        settings: Mapping[str, Any],
        validation: str | None = None,
    ) -> DatasetSpec:
        """The spec with the kinds of problems that are left out, and the rows that have them in such a run."""
        kinds = tuple(sorted({*spec.left_out, *kinds}))
        if not kinds:
            return spec
        options = CheckOptions(leave_out=kinds, validation=validation)
        if TooLong.kind in kinds and task_named(spec.task).cuts:
            readable = spec.model_copy(update={"left_out": (BadLines.kind,)})
            limit = self.previews.limit(dataset, info, readable, settings)
            measured = self.lengths.of(dataset, info, spec, str(settings.get("system_prompt", "")), whole=True)
            options = replace(options, max_length=limit, lengths=measured.by_row)
        rows = self.datasets.rows_left_out(dataset, spec, options)
        return spec.model_copy(update={"left_out": kinds, "rows_left_out": rows})
