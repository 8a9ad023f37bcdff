"""The rows of a kept version divided: what was in a part in an earlier version of the dataset stays there.

Where the texts of earlier versions are is worked out version by version, and kept beside them: it can be made again.
"""

import hashlib
import json
import os
from array import array
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from studio.data.checks import usable_values
from studio.data.checks.bad_line import BadLines
from studio.data.parquet_store import open_parquet
from studio.data.split_assignment import Known
from studio.data.splits import Dividing, Division, divide
from studio.schema.dataset import DatasetRecord, DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.store.datasets import DatasetStore
from studio.tasks import task_named

PARTS = ("train", "validation", "test")
SCHEME = 1
"""Changed when rows are divided otherwise than before, so that nothing kept is taken for the new way."""


def divide_version(
    store: DatasetStore,
    record: DatasetRecord,
    spec: DatasetSpec,
    splits: SplitSpec,
    validation_file: bool = False,
) -> Division:
    """The usable rows of a version by part; `spec` says how they are read."""
    dividing = dividing_of(store, record, spec, splits, validation_file)
    for row in usable_values(dividing.table, dividing.task, spec.roles, left_out=spec.left_out):
        dividing.see(*row)
    return dividing.division(spec.left_out, spec.rows_left_out)


def dividing_of(
    store: DatasetStore, record: DatasetRecord, spec: DatasetSpec, splits: SplitSpec, validation_file: bool = False
) -> Dividing:
    """What divides the usable rows of a version, once it was shown them."""
    return Dividing(
        open_parquet(store.rows_path(record.id, record.version)),
        task_named(spec.task),
        spec.roles,
        splits,
        validation_file=validation_file,
        split_column=record.split_column,
        known=_known(store, record, spec, splits, validation_file),
    )


def _known(
    store: DatasetStore, record: DatasetRecord, spec: DatasetSpec, splits: SplitSpec, validation_file: bool
) -> Known:
    """Where the texts or groups of earlier versions are, had these been divided so one after the other."""
    if splits.time_column or splits.stable_splits:
        return {}
    earlier = [each for each in store.versions(record.id) if each.version < record.version]
    reads = [each.spec.roles if each.spec and each.spec.task == spec.task else spec.roles for each in earlier]
    about = [SCHEME, spec.task, splits.model_dump(), validation_file]
    kept = [_kept(store, each, [*about, reads[:upto]]) for upto, each in enumerate(earlier, 1)]
    done = next((place for place in range(len(kept), 0, -1) if kept[place - 1].exists()), 0)
    known = _load(kept[done - 1]) if done else {}
    for each, roles, path in list(zip(earlier, reads, kept, strict=True))[done:]:
        with suppress(StudioError):  # its columns were others, or nothing in it could be divided
            division = divide(
                open_parquet(store.rows_path(each.id, each.version)),
                task_named(spec.task),
                roles,
                splits,
                left_out=(BadLines.kind,),
                validation_file=validation_file,
                split_column=each.split_column,
                known=known,
            )
            known = {**known, **division.of_keys}
        _keep(path, known)
    return known


def _kept(store: DatasetStore, record: DatasetRecord, about: list[object]) -> Path:
    """Where the parts are kept that texts were in up to a version."""
    digest = hashlib.blake2b(json.dumps(about).encode(), digest_size=8).hexdigest()
    return store.parts_folder(record.id) / f"{record.version}-{digest}"


def _keep(path: Path, known: Mapping[int, str]) -> None:
    """Texts and their parts as numbers, nine bytes each."""
    keys, parts = array("Q", known), bytes(map(PARTS.index, known.values()))
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    with suppress(OSError):  # no room, or the dataset was deleted meanwhile: it is worked out again
        path.parent.mkdir(exist_ok=True)
        beside.write_bytes(keys.tobytes() + parts)
        beside.replace(path)


def _load(path: Path) -> dict[int, str]:
    content = path.read_bytes()
    count = len(content) // 9
    keys = array("Q", content[: 8 * count])
    return dict(zip(keys, (PARTS[part] for part in content[8 * count :]), strict=True))
