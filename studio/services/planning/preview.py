"""What a model sees of a dataset: a row token by token, the limit, the longest rows, and the first batch of a run."""

from collections import Counter
from collections.abc import Callable, Mapping
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
from studio.services.datasets.service import Datasets
from studio.services.model_host.client import HostClient
from studio.services.models import Models
from studio.services.planning.lengths import BINS, Measured
from studio.services.planning.replay_mixing import StartingPoint
from studio.services.planning.service import Planning, split_spec, splits_kept
from studio.store.split_store import divide_version

USUAL = 512
"""Longest row in tokens where no plan can be made yet."""
MOST_SHOWN = 50
FINEST = 800
"""Different lengths that are told apart; of more, neighbours are put together."""
Progress = Callable[[int, int, str], None] | None


class Previews:
    """What a model sees of a workspace's datasets."""

    def __init__(self, datasets: Datasets, models: Models, planning: Planning, host: HostClient) -> None:
        self.datasets, self.models, self.planning = datasets, models, planning
        self.host = host.of(datasets.context.workspace)

    def limit(self, dataset: str, info: ModelInfo, spec: DatasetSpec, settings: Mapping[str, Any]) -> int:
        """The longest row in tokens that training would read: as set by hand, else as it is planned."""
        if given := settings.get("max_length"):
            return int(given)
        try:
            plan = self.planning.plan(dataset, info, spec, StartingPoint(None, _of_rows(settings))).plan
        except StudioError:  # too few rows, say: a row can be looked at all the same
            return min(USUAL, info.context or USUAL)
        return plan.config.max_length

    def preview(
        self,
        dataset: str,
        model: str,
        task: str | None,
        row: int,
        settings: Mapping[str, Any],
        roles: Mapping[str, str] | None = None,
    ) -> Preview:
        """One row, token by token, by the function that training calls."""
        spec, _ = self.datasets.reading(dataset, task, roles)
        info, shown = self.models.ready(model), self.datasets.table(dataset).row(row)
        limit = self.limit(dataset, info, spec, settings)
        told = {key: value for key, value in _of_rows(settings).items() if key != "max_length"}
        result = self.host.result(
            "preview",
            info=info,
            task=spec.task,
            row=shown,
            roles=spec.roles,
            number=row,
            max_length=limit,
            system_prompt=str(settings.get("system_prompt", "")),
            label_names=spec.label_names,
            settings=told,
            trusted=self.models.trusted(info),
        )
        return Preview.model_validate({**result["preview"], "limit": limit})

    def lengths(
        self,
        dataset: str,
        model: str,
        task: str | None,
        settings: Mapping[str, Any],
        roles: Mapping[str, str] | None = None,
    ) -> LengthStats:
        """How long the rows are in tokens, and how many are cut."""
        spec, _ = self.datasets.reading(dataset, task, roles)
        info = self.models.ready(model)
        measured = self.planning.lengths.of(dataset, info, spec, str(settings.get("system_prompt", "")))
        limit = self.limit(dataset, info, spec, settings)
        stats = stats_of(measured, limit)
        rows = self.datasets.store.get(dataset).rows
        most = info.context or max(2 * limit, stats.longest)
        return stats.model_copy(update={"most": most, "sampled": len(measured.numbers) < rows})

    def first_batch(self, progress: Progress = None, **run: Any) -> Batch:
        """The first batch as training will get it: the run's trainer is made in the host, and asked for it."""
        spec, info, key = self._run(**run)

        def made() -> Batch:
            dataset = run["dataset"]
            record, settings = self.datasets.store.get(dataset), run["settings"]
            began = StartingPoint(run["method"], settings)
            plan = self.planning.plan(dataset, info, spec, began, preset=run["preset"]).plan
            splits = split_spec({**splits_kept(spec, settings), **settings})
            division = divide_version(self.datasets.store, record, spec, splits)
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

        batch: Batch = self.datasets.store.computed.batches.get_or_compute(key, made)
        return batch

    def known_batch(self, **run: Any) -> Batch | None:
        """The first batch of such a run, if somebody asked for it already."""
        return self.datasets.store.computed.batches.get(self._run(**run)[2])

    def _run(
        self,
        dataset: str,
        model: str,
        task: str | None,
        method: str | None,
        preset: str,
        settings: Mapping[str, Any],
        roles: Mapping[str, str] | None = None,
    ) -> tuple[DatasetSpec, ModelInfo, tuple]:
        spec, _ = self.datasets.reading(dataset, task, roles)
        info, record = self.models.ready(model), self.datasets.store.get(dataset)
        told = tuple(sorted((name, str(value)) for name, value in settings.items()))
        path = self.datasets.store.rows_path(record.id, record.version)
        return spec, info, (path, spec.model_dump_json(), info.path, method, preset, told)


def stats_of(measured: Measured, limit: int) -> LengthStats:
    """A histogram with the limit in sight, and the longest rows."""
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
    """Those settings that change what the model sees of a row."""
    data = {name for name in settings_of() if (words := about(TrainingConfig, name)) and words.group == "data"}
    return {name: value for name, value in settings.items() if name in data and value is not None}
