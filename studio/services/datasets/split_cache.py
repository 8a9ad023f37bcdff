"""Cached split assignments of versions. The data checks compute one while they read the rows."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from studio.data.splits import SplitAssignment, Splitter
from studio.data.table import Row
from studio.schema.dataset import DatasetRecord, DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.store.datasets import DatasetStore
from studio.store.split_store import divide_version, dividing_of


def split_assignment(
    store: DatasetStore, record: DatasetRecord, spec: DatasetSpec, splits: SplitSpec, validation_file: bool = False
) -> SplitAssignment:
    """The split of each usable row of a version."""
    return _cached(store, record, spec, splits, validation_file, divide_version)


class SplitsDuringCheck:
    """Computes the splits of a version while the data checks read its rows."""

    def __init__(self, store: DatasetStore, record: DatasetRecord, spec: DatasetSpec, splits: SplitSpec) -> None:
        self._about = (store, record, spec, splits)
        self._splitter: Splitter | None = None

    def row_callback(self) -> Callable[[int, Row, Mapping[str, Any]], None] | None:
        """A function that takes each usable row. None where the splits are cached, or the rows can't be split."""
        if _key(*self._about, False) in self._about[0].computed.divisions:
            return None
        with suppress(StudioError):
            self._splitter = dividing_of(*self._about)
            return self._splitter.add
        return None

    def parts(self) -> Mapping[int, str]:
        """Row number → split. Empty where the rows can't be split: `count_splits` gives the reason."""
        store, record, spec, splits = self._about
        try:
            return _cached(store, record, spec, splits, False, self._divide).splits
        except StudioError:
            return {}

    def _divide(self, *about: Any) -> SplitAssignment:
        if self._splitter is None:
            return divide_version(*about)
        _, _, spec, _ = self._about
        return self._splitter.assignment(spec.left_out, spec.rows_left_out)


def _key(
    store: DatasetStore, record: DatasetRecord, spec: DatasetSpec, splits: SplitSpec, validation_file: bool
) -> tuple:
    """All that the assignment depends on."""
    left_out = spec.left_out if record.bad_line_count else ()
    path = store.rows_path(record.id, record.version)
    return (path, spec.task, tuple(spec.roles.items()), left_out, spec.rows_left_out, splits, validation_file)


def _cached(
    store: DatasetStore,
    record: DatasetRecord,
    spec: DatasetSpec,
    splits: SplitSpec,
    validation_file: bool,
    make: Callable[..., SplitAssignment],
) -> SplitAssignment:
    key = _key(store, record, spec, splits, validation_file)
    assignment: SplitAssignment = store.computed.divisions.get_or_compute(
        key, lambda: make(store, record, spec, splits, validation_file)
    )
    return assignment
