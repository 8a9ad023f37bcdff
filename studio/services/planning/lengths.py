"""Lengths of rows in tokens. The model host counts them; they are cached, because a version never changes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from studio.schema.dataset import DatasetRecord, DatasetSpec
from studio.schema.host import RowsRef
from studio.schema.models import ModelInfo
from studio.services.datasets.service import Datasets
from studio.services.model_host.client import HostClient
from studio.store.cache import Cache

MOST_ROWS = 20_000
"""Maximum number of rows that are counted; a larger dataset is sampled evenly."""
BINS = 18
KEPT = 64
"""Maximum number of cached measurements, of all workspaces."""


@dataclass(frozen=True)
class Measured:
    """Lengths in tokens before truncation (0: the row can't be used), and the share of tokens that is learned."""

    numbers: list[int]
    lengths: list[int]
    learned_share: float
    heads: Sequence[int] = ()
    """Tokens at the beginning of all pieces of a row. 0 for a row in one piece."""

    @cached_property
    def by_row(self) -> dict[int, int]:
        """Row number → tokens."""
        return dict(zip(self.numbers, self.lengths, strict=True))


class LengthCache:
    """Measured lengths of all workspaces of a server. Keys contain the path of the rows: an imported dataset has the
    same id in two projects."""

    def __init__(self, host: HostClient) -> None:
        self.host = host
        self._known: Cache[Measured] = Cache(KEPT)

    def get(self, key: tuple, rows: RowsRef, **request: Any) -> Measured:
        """The measured lengths with a key, counted if they are not cached."""

        def measured() -> Measured:
            result = self.host.result("lengths", rows=rows, **request)
            numbers = list(rows.numbers or range(1, len(result["lengths"]) + 1))
            return Measured(numbers, result["lengths"], result["learned_share"], result["heads"])

        return self._known.get_or_compute(key, measured)


class Lengths:
    """Lengths of a workspace's datasets."""

    def __init__(self, datasets: Datasets, cache: LengthCache) -> None:
        self.datasets, self.cache = datasets, cache

    def of(
        self, dataset: str, info: ModelInfo, spec: DatasetSpec, system_prompt: str = "", whole: bool = False
    ) -> Measured:
        """Lengths of the rows of the current version. See `of_version`."""
        return self.of_version(self.datasets.store.get(dataset), info, spec, system_prompt, whole)

    def of_version(
        self, record: DatasetRecord, info: ModelInfo, spec: DatasetSpec, system_prompt: str = "", whole: bool = False
    ) -> Measured:
        """Lengths of the rows of a version. A large one is sampled evenly, unless `whole`."""
        spec = spec.model_copy(update={"left_out": (), "rows_left_out": ()})  # every row has a length
        step = 1 if whole else max(1, -(-record.rows // MOST_ROWS))
        numbers = list(range(1, record.rows + 1, step)) if step > 1 else None
        path = str(self.datasets.store.rows_path(record.id, record.version))
        key = (path, info.path, spec.model_dump_json(), system_prompt, step)
        rows = RowsRef(path=path, numbers=numbers)
        return self.cache.get(
            key,
            info=info,
            task=spec.task,
            rows=rows,
            roles=spec.roles,
            system_prompt=system_prompt,
            label_names=spec.label_names,
            trusted=self.datasets.context.home.trusts(info),
            workspace=self.datasets.context.workspace.name,
        )
