"""The rows of a kept version divided: what was in a part in an earlier version of the dataset stays there."""

from contextlib import suppress

from studio.data.carving import Known
from studio.data.checks.bad_line import BadLines
from studio.data.kept import open_parquet
from studio.data.splits import Division, divide
from studio.schema.dataset import DatasetRecord, DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.store.datasets import DatasetStore
from studio.tasks import task_named


def divide_version(
    store: DatasetStore,
    record: DatasetRecord,
    spec: DatasetSpec,
    splits: SplitSpec,
    validation_file: bool = False,
) -> Division:
    """The usable rows of a version by part; `spec` says how they are read."""
    return divide(
        open_parquet(store.rows_path(record.id, record.version)), task_named(spec.task), spec.roles, splits,
        left_out=spec.left_out, rows_left_out=spec.rows_left_out, validation_file=validation_file,
        split_column=record.split_column, known=_known(store, record, spec, splits, validation_file),
    )  # fmt: skip


def _known(
    store: DatasetStore, record: DatasetRecord, spec: DatasetSpec, splits: SplitSpec, validation_file: bool
) -> Known:
    """Where the texts or groups of earlier versions are, had these been divided so one after the other."""
    known: dict[int, str] = {}
    if splits.time_column or splits.stable_splits:
        return {}
    for earlier in store.versions(record.id):
        if earlier.version >= record.version:
            break
        read = earlier.spec if earlier.spec and earlier.spec.task == spec.task else spec
        with suppress(StudioError):  # its columns were others, or nothing in it could be divided
            division = divide(
                open_parquet(store.rows_path(earlier.id, earlier.version)), task_named(spec.task), read.roles, splits,
                left_out=(BadLines.kind,), validation_file=validation_file, split_column=earlier.split_column,
                known=known,
            )  # fmt: skip
            known |= division.of_keys
    return known
