"""The splits of a dataset version. Texts keep the split that they had in earlier versions.

The splits of earlier versions are computed one after the other, and cached.
"""

import hashlib
import json
import os
from array import array
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from studio.data.checks.bad_line import BadLines
from studio.data.parquet_store import open_parquet
from studio.data.split_assignment import Known, SplitAssignment
from studio.data.splits import Splitter
from studio.schema.dataset import DatasetRecord, DatasetSpec, Fold, SplitSpec
from studio.schema.errors import StudioError
from studio.store.datasets import DatasetStore
from studio.tasks import task_named

PARTS = ("train", "validation", "test")
SCHEME = 1
"""Increase it when the assignment changes, so that cached splits are not used any more."""


@dataclass(frozen=True)
class VersionSplit:
    """The usable rows of a version by split."""

    store: DatasetStore
    record: DatasetRecord
    spec: DatasetSpec
    """How the columns are used."""
    splits: SplitSpec
    validation_file: bool = False
    fold: Fold | None = None
    """The fold of a cross-validation that is the test split."""

    @property
    def path(self) -> Path:
        """The file with the rows."""
        return self.store.rows_path(self.record.id, self.record.version)

    @property
    def key(self) -> tuple:
        """All that the assignment depends on."""
        spec, left_out = self.spec, self.spec.left_out if self.record.bad_line_count else ()
        return (
            self.path,
            spec.task,
            tuple(spec.roles.items()),
            left_out,
            spec.rows_left_out,
            self.splits,
            self.validation_file,
            self.fold,
        )

    def assign(self) -> SplitAssignment:
        """Read the rows and assign them."""
        return self.splitter().assign(self.spec.left_out, self.spec.rows_left_out)

    def cached(self, assign: Callable[[], SplitAssignment] | None = None) -> SplitAssignment:
        """The assignment, made by `assign` where it is not cached."""
        assignment: SplitAssignment = self.store.computed.divisions.get_or_compute(self.key, assign or self.assign)
        return assignment

    def splitter(self) -> Splitter:
        """The object that assigns the usable rows, once they are passed to it."""
        return Splitter(
            open_parquet(self.path),
            task_named(self.spec.task),
            self.spec.roles,
            self.splits,
            validation_file=self.validation_file,
            split_column=self.record.split_column,
            known={} if self.fold else self._known(),
            fold=self.fold,
        )

    def _known(self) -> Known:
        """Text or group hash → split in the earlier versions, divided one after the other."""
        store, spec, splits = self.store, self.spec, self.splits
        if splits.time_column or splits.stable_splits:
            return {}
        earlier = [each for each in store.versions(self.record.id) if each.version < self.record.version]
        reads = [each.spec.roles if each.spec and each.spec.task == spec.task else spec.roles for each in earlier]
        key_parts = [SCHEME, spec.task, splits.model_dump(), self.validation_file]
        paths = [_cache_path(store, each, [*key_parts, reads[:upto]]) for upto, each in enumerate(earlier, 1)]
        cached = next((place for place in range(len(paths), 0, -1) if paths[place - 1].exists()), 0)
        known = _load(paths[cached - 1]) if cached else {}
        for each, roles, path in list(zip(earlier, reads, paths, strict=True))[cached:]:
            with suppress(StudioError):  # its columns differed, or it had no usable rows
                table, task = open_parquet(store.rows_path(each.id, each.version)), task_named(spec.task)
                splitter = Splitter(table, task, roles, splits, self.validation_file, each.split_column, known)
                known = {**known, **splitter.assign((BadLines.kind,)).splits_by_key}
            _save(path, known)
        return known


def _cache_path(store: DatasetStore, record: DatasetRecord, key_parts: list[object]) -> Path:
    """The cache file for the splits of all versions up to this one."""
    digest = hashlib.blake2b(json.dumps(key_parts).encode(), digest_size=8).hexdigest()
    return store.parts_folder(record.id) / f"{record.version}-{digest}"


def _save(path: Path, known: Mapping[int, str]) -> None:
    """Save hashes and splits as numbers, nine bytes each."""
    keys, parts = array("Q", known), bytes(map(PARTS.index, known.values()))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    with suppress(OSError):  # The disk is full or the dataset was deleted. The splits are computed again.
        path.parent.mkdir(exist_ok=True)
        temporary.write_bytes(keys.tobytes() + parts)
        temporary.replace(path)


def _load(path: Path) -> dict[int, str]:
    content = path.read_bytes()
    count = len(content) // 9
    keys = array("Q", content[: 8 * count])
    return dict(zip(keys, (PARTS[part] for part in content[8 * count :]), strict=True))
