"""The division of a version's rows, kept for the next who asks: the doctor does just before the counts are told."""

from studio.data.carving import Division
from studio.schema.dataset import DatasetRecord, DatasetSpec, SplitSpec
from studio.store.datasets import DatasetStore
from studio.store.dividing import divide_version

_LAST: dict[tuple, Division] = {}
"""The last division: of a million rows one is enough to hold."""


def division_of(
    store: DatasetStore, record: DatasetRecord, spec: DatasetSpec, splits: SplitSpec, validation_file: bool = False
) -> Division:
    """The usable rows of a version by part."""
    left_out = spec.left_out if record.bad_line_count else ()
    path = store.rows_path(record.id, record.version)
    key = (path, spec.task, tuple(spec.roles.items()), left_out, spec.rows_left_out, splits, validation_file)
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = divide_version(store, record, spec, splits, validation_file)
    return _LAST[key]
