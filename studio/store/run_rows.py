"""The rows of a run in its own folder, so that a copied folder is complete.

They are hard links to the datasets' files and use no space. File systems without hard links hold none. An archive of a
run has the same layout, so rows are imported from both in the same way. Imported rows are validated, and existing
versions stay.
"""

import filecmp
import math
import os
import shutil
from contextlib import suppress
from pathlib import Path

from studio.data.limits import read_limits
from studio.data.parquet_store import check_stored, open_parquet
from studio.machine.facts import memory_available
from studio.machine.locks import alone
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.events import AdviceEvent
from studio.schema.limits import OWNER
from studio.schema.runs import RunSpec
from studio.store.datasets import IN_RUN, RECORD, ROWS, DatasetStore
from studio.store.run_archive import PLAIN, no_run
from studio.store.run_folder_import import read_spec


def dataset_versions(spec: RunSpec) -> list[tuple[str, int]]:
    """(dataset, version) of all rows that a run needs."""
    versions = [(spec.dataset, spec.dataset_version)]
    versions += [(spec.validation_dataset, spec.validation_version)] if spec.validation_dataset else []
    return versions + ([(spec.replay.dataset, spec.replay.version)] if spec.replay else [])


def own_rows(rows: int, most: int, replay: float) -> int:
    """The number of a run's own training rows when it may use `most` rows (0: all), including a share of replay
    rows."""
    return min(rows, max(1, math.floor(most * (1 - replay)))) if most else rows


def link_rows(folder: Path, spec: RunSpec, datasets: DatasetStore) -> None:
    """Create hard links to a run's rows in its folder. Call it in a transaction: rows deleted at the same time are
    no longer listed, or the links are removed afterwards."""
    for dataset, version in dataset_versions(spec):
        if not datasets.has(dataset, version):
            continue
        name, files = folder / IN_RUN / f"{dataset}-v{version}", datasets.folder(dataset, version)
        with suppress(OSError):  # not every file system supports hard links
            name.parent.mkdir(exist_ok=True)
            os.link(files / RECORD, f"{name}.json")
            os.link(files / ROWS, f"{name}.parquet")


def import_rows(folder: Path, datasets: DatasetStore) -> None:
    """Import the rows in a run's folder. All are validated before one is listed, and existing versions stay. Raises
    an error, and leaves the files, if they are invalid or a version exists with other rows."""
    source, spec = folder / IN_RUN, read_spec(folder / "config.yaml")
    names = {f"{dataset}-v{version}": (dataset, version) for dataset, version in dataset_versions(spec)}
    entries = [source, *source.glob("*")]
    if unexpected := {path.stem for path in entries[1:]} - set(names):
        raise no_run(f"it has rows that the run was not trained on: {min(unexpected)}")
    if any(path.is_symlink() for path in entries) or not all(map(PLAIN.fullmatch, names)):
        raise no_run("it refers to rows by a path")
    with alone(datasets.root):
        rows = [
            (source / f"{name}.parquet", record_of(source / name, *names[name]))
            for name in names
            if (source / f"{name}.parquet").exists()
        ]
        for path, record in rows:
            if datasets.has(record.id, record.version):
                if not filecmp.cmp(path, datasets.rows_path(record.id, record.version), shallow=False):
                    raise no_run(f"version {record.version} of its dataset has other rows on this machine")
                continue
            newer = datasets.get(record.id).version if datasets.has(record.id) else None
            with datasets.filling(record.id, record.version) as filled:
                _link_or_copy(path, filled / ROWS)
                datasets.add(record, filled)
            if newer:
                datasets.go_to(record.id, newer)
        shutil.rmtree(source, ignore_errors=True)
        with datasets.db.write():
            link_rows(folder, spec, datasets)


def import_rows_or_advice(folder: Path, datasets: DatasetStore) -> AdviceEvent | None:
    """As `import_rows`. If the rows are invalid, returns an event to append to the run."""
    try:
        import_rows(folder, datasets)
    except StudioError as error:
        if error.code not in ("unreadable-file", "too-large"):
            raise
        reason = str(error.given if error.code == "unreadable-file" else error.message).rstrip(".")
        return AdviceEvent(
            step=0,
            title="The rows of this run were not imported",
            message=f"The folder of this run was copied here, but there is a problem with its rows: {reason}.",
            action="Delete the run here, then copy its complete folder again.",
        )
    return None


def _link_or_copy(file: Path, name: Path) -> None:
    """Create a hard link to a file, or a copy. The file keeps its own name."""
    try:
        os.link(file, name)
    except OSError:
        shutil.copyfile(file, name)


def record_of(rows: Path, dataset: str, version: int) -> DatasetRecord:
    """The record of imported rows, validated against the rows and the limits of an import.

    `rows`: path of both files without their suffixes .json and .parquet.

    Raises:
        StudioError: `too-large` for rows beyond the limits, and `unreadable-file` if they differ from the record.
    """
    try:
        limits = read_limits(OWNER, visitor=False, memory=memory_available())
        check_stored(rows.with_name(f"{rows.name}.parquet"), f"Version {version} of {dataset}", limits)
        record = DatasetRecord.model_validate_json(rows.with_name(f"{rows.name}.json").read_bytes())
        table = open_parquet(rows.with_name(f"{rows.name}.parquet"))
        claimed = (record.id, record.version, record.rows, record.columns)
        if claimed != (dataset, version, sum(1 for _ in table.source.values(1)), tuple(table.columns)):
            raise ValueError("it describes other rows")
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, StudioError) as error:
        if isinstance(error, StudioError) and error.code == "too-large":
            raise
        raise no_run("its rows can't be read, or differ from their description") from error
    return record
