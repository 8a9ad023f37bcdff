"""Previews of what the model gets: a row token by token, the longest rows, and the first batch of a run."""

from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from studio.schema.config import TrainingConfig, settings_of
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.fields import about
from studio.schema.host import RowsRef
from studio.schema.models import ModelInfo
from studio.schema.preview import Batch, LengthStats
from studio.schema.report import Preview
from studio.schema.requests import RunRequest
from studio.services.datasets.service import Datasets
from studio.services.datasets.split_settings import saved_splits, split_spec
from studio.services.model_host.client import HostClient
from studio.services.models.service import Models, usual_length
from studio.services.planning.lengths import BINS, Measured
from studio.services.planning.planner import Planner, Resolved
from studio.services.planning.replay_mixing import StartingPoint
from studio.services.progress import Progress
from studio.store.split_store import VersionSplit

MOST_SHOWN = 50
FINEST = 800
"""Bins of the histogram."""


class Previews:
    """Previews of a workspace's datasets."""

    def __init__(self, datasets: Datasets, models: Models, planner: Planner, host: HostClient) -> None:
        self.datasets, self.models, self.planner = datasets, models, planner
        self.host = host.of(datasets.context.workspace)

    def limit(self, dataset: str, info: ModelInfo, spec: DatasetSpec, settings: Mapping[str, Any]) -> int:
        """The maximum length in tokens: as set, else as planned."""
        if given := settings.get("max_length"):
            return int(given)
        try:
            request = RunRequest(dataset=dataset, model=info.name, settings=_of_rows(settings))
            plan = self.planner.plan(Resolved(request, info, spec, StartingPoint.of(request))).plan
        except StudioError:  # for example, too few rows: a row can be shown all the same
            return usual_length(info)
        return plan.config.max_length

    def row(self, request: RunRequest, row: int = 1) -> Preview:
        """One row, token by token, encoded by the function that training uses."""
        dataset, info, spec = self._of(request)
        settings, cells = request.all_settings, self.datasets.table(dataset).row(row)
        limit = self.limit(dataset, info, spec, settings)
        data_settings = {key: value for key, value in _of_rows(settings).items() if key != "max_length"}
        result = self.host.result(
            "preview",
            info=info,
            task=spec.task,
            row=cells,
            roles=spec.roles,
            number=row,
            max_length=limit,
            system_prompt=str(settings.get("system_prompt", "")),
            label_names=spec.label_names,
            settings=data_settings,
            trusted=self.models.trusted(info),
        )
        return Preview.model_validate({**result["preview"], "limit": limit})

    def lengths(self, request: RunRequest) -> LengthStats:
        """How long the rows are in tokens, how many are truncated, and which are the longest."""
        dataset, info, spec = self._of(request)
        settings = request.all_settings
        measured = self.planner.lengths.of(dataset, info, spec, str(settings.get("system_prompt", "")))
        limit = self.limit(dataset, info, spec, settings)
        stats = stats_of(measured, limit)
        rows = self.datasets.store.get(dataset).rows
        most = info.context or max(2 * limit, stats.longest)
        return stats.model_copy(update={"most": most, "sampled": len(measured.numbers) < rows})

    def first_batch(self, request: RunRequest, progress: Progress = None) -> Batch:
        """The first batch exactly as training will get it, padding included, from the trainer of such a run."""
        dataset, info, spec = self._of(request)

        def compute() -> Batch:
            record = self.datasets.store.get(dataset)
            plan = self.planner.plan(Resolved(request, info, spec, StartingPoint.of(request))).plan
            splits = split_spec({**saved_splits(spec, request.all_settings), **request.all_settings})
            division = VersionSplit(self.datasets.store, record, spec, splits).assign()
            path = self.datasets.store.rows_path(record.id, record.version)
            result = self.host.result(
                "first_batch",
                progress,
                info=info,
                config=plan.config,
                data=spec,
                trusted=self.models.trusted(info),
                rows=RowsRef(path=str(path), numbers=tuple(division.rows("train"))),
            )
            return Batch.model_validate(result["batch"])

        batch: Batch = self.datasets.store.computed.batches.get_or_compute(self._key(request, info, spec), compute)
        return batch

    def cached_first_batch(self, request: RunRequest) -> Batch | None:
        """The first batch, if it was computed before. Nothing is loaded for it."""
        _, info, spec = self._of(request)
        return self.datasets.store.computed.batches.get(self._key(request, info, spec))

    def _of(self, request: RunRequest) -> tuple[str, ModelInfo, DatasetSpec]:
        assert request.dataset is not None and request.model is not None
        spec, _ = self.datasets.resolve_spec(request.dataset, request.task, request.roles)
        return request.dataset, self.models.ready(request.model), spec

    def _key(self, request: RunRequest, info: ModelInfo, spec: DatasetSpec) -> tuple[Any, ...]:
        assert request.dataset is not None
        record = self.datasets.store.get(request.dataset)
        settings = tuple(sorted((name, str(value)) for name, value in request.all_settings.items()))
        path = self.datasets.store.rows_path(record.id, record.version)
        return path, spec.model_dump_json(), info.path, request.method, request.preset, settings


def stats_of(measured: Measured, limit: int) -> LengthStats:
    """A histogram that includes the limit, and the longest rows."""
    known = {row: length for row, length in measured.by_row.items() if length}
    lengths = sorted(known.values())
    if not lengths:
        return LengthStats(rows=0, middle=0, longest=0, over=0, limit=limit)
    width = max(1, -(-max(lengths[-1], limit) // BINS))
    edges = [number * width for number in range(BINS + 1)]
    grain = max(1, -(-len(set(lengths)) // FINEST))
    counts = Counter(-(-length // grain) * grain for length in lengths)
    return LengthStats(
        rows=len(lengths),
        middle=lengths[len(lengths) // 2],
        longest=lengths[-1],
        over=sum(length > limit for length in lengths),
        bins=tuple((high, sum(low < length <= high for length in lengths)) for low, high in pairwise(edges)),
        limit=limit,
        by_length=tuple(sorted(counts.items())),
        longest_rows=tuple(sorted(known.items(), key=lambda each: (-each[1], each[0]))[:MOST_SHOWN]),
    )


def _of_rows(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that change what the model gets of a row."""
    data = {name for name in settings_of() if (words := about(TrainingConfig, name)) and words.group == "data"}
    return {name: value for name, value in settings.items() if name in data and value is not None}
