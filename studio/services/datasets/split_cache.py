"""The division of a version's rows, kept for the next who asks: the doctor does just before the counts are told."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from studio.data.splits import SplitAssignment, Splitter
from studio.data.table import Row
from studio.schema.dataset import DatasetRecord, DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.store.datasets import DatasetStore
from studio.store.split_store import divide_version, dividing_of


def division_of(
    store: DatasetStore, record: DatasetRecord, spec: DatasetSpec, splits: SplitSpec, validation_file: bool = False
) -> SplitAssignment:
    """The usable rows of a version by part."""
    return _kept(store, record, spec, splits, validation_file, divide_version)


class Shown:
    """The parts of a version's rows, for the doctor, who may show the rows while he looks at them himself."""

    def __init__(self, store: DatasetStore, record: DatasetRecord, spec: DatasetSpec, splits: SplitSpec) -> None:
        self._about = (store, record, spec, splits)
        self._dividing: Splitter | None = None

    def begin(self) -> Callable[[int, Row, Mapping[str, Any]], None] | None:
        """Who is to be shown each usable row; nobody where the parts are known, or the rows can't be divided."""
        if _key(*self._about, False) in self._about[0].computed.divisions:
            return None
        with suppress(StudioError):
            self._dividing = dividing_of(*self._about)
            return self._dividing.add
        return None

    def parts(self) -> Mapping[int, str]:
        """Row number → part; none where the rows can't be divided: the panel Splits says why."""
        store, record, spec, splits = self._about
        try:
            return _kept(store, record, spec, splits, False, self._divide).splits
        except StudioError:
            return {}

    def _divide(self, *about: Any) -> SplitAssignment:
        if self._dividing is None:
            return divide_version(*about)
        _, _, spec, _ = self._about
        return self._dividing.assignment(spec.left_out, spec.rows_left_out)


def _key(
    store: DatasetStore, record: DatasetRecord, spec: DatasetSpec, splits: SplitSpec, validation_file: bool
) -> tuple:
    """What decides about the parts."""
    left_out = spec.left_out if record.bad_line_count else ()
    path = store.rows_path(record.id, record.version)
    return (path, spec.task, tuple(spec.roles.items()), left_out, spec.rows_left_out, splits, validation_file)


def _kept(
    store: DatasetStore,
    record: DatasetRecord,
    spec: DatasetSpec,
    splits: SplitSpec,
    validation_file: bool,
    make: Callable[..., SplitAssignment],
) -> SplitAssignment:
    key = _key(store, record, spec, splits, validation_file)
    found: SplitAssignment = store.computed.divisions.get_or_compute(
        key, lambda: make(store, record, spec, splits, validation_file)
    )
    return found
