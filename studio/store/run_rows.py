"""The rows that a run learned from, in its own folder: with them a folder that is copied elsewhere is complete there.

They are further names of the datasets' own files and take no room; where a file system has no such names, there are
none. A file that a run was packed into has the same layout, so that rows come in from either by one way: none of them
is trusted, and those that are here already stay.
"""

import math
import os
import shutil
from contextlib import suppress
from pathlib import Path

from studio.data.parquet_store import open_parquet
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.events import AdviceEvent
from studio.schema.runs import RunSpec
from studio.store.datasets import IN_RUN, RECORD, ROWS, DatasetStore
from studio.store.files import alone
from studio.store.run_archive import PLAIN, no_run
from studio.store.run_folder_import import read_spec


def rows_of(spec: RunSpec) -> list[tuple[str, int]]:
    """(dataset, version) of all rows that a run needs."""
    asked = [(spec.dataset, spec.dataset_version)]
    asked += [(spec.validation_dataset, spec.validation_version)] if spec.validation_dataset else []
    return asked + ([(spec.replay.dataset, spec.replay.version)] if spec.replay else [])


def own_rows(rows: int, most: int, replay: float) -> int:
    """How many of its training rows a run uses that may have `most` rows (0: any), with general rows mixed in."""
    return min(rows, max(1, math.floor(most * (1 - replay)))) if most else rows


def link_rows(folder: Path, spec: RunSpec, datasets: DatasetStore) -> None:
    """Give the files of a run's rows a name in its folder. To be called in a transaction: rows that are deleted at the
    same time are listed no more, or their names are removed after this."""
    for dataset, version in rows_of(spec):
        if not datasets.has(dataset, version):
            continue
        name, files = folder / IN_RUN / f"{dataset}-v{version}", datasets.folder(dataset, version)
        with suppress(OSError):  # not every file system has second names
            name.parent.mkdir(exist_ok=True)
            os.link(files / RECORD, f"{name}.json")
            os.link(files / ROWS, f"{name}.parquet")


def take_in(folder: Path, datasets: DatasetStore) -> None:
    """Rows that came along in a run's folder, all of them looked at before one is listed; versions that are here
    already stay. A refusal when they are not what they say, and they lie there as before."""
    came, spec = folder / IN_RUN, read_spec(folder / "config.yaml")
    names = {f"{dataset}-v{version}": (dataset, version) for dataset, version in rows_of(spec)}
    lying = [came, *came.glob("*")]
    if strange := {path.stem for path in lying[1:]} - set(names):
        raise no_run(f"it holds rows that the run did not learn from: {min(strange)}")
    if any(path.is_symlink() for path in lying) or not all(map(PLAIN.fullmatch, names)):
        raise no_run("it names rows by a path")
    with alone(datasets.root):
        found = [
            (came / f"{name}.parquet", _record_of(came / name, *names[name]))
            for name in names
            if (came / f"{name}.parquet").exists()
        ]
        for path, record in found:
            if datasets.has(record.id, record.version):
                continue
            newer = datasets.get(record.id).version if datasets.has(record.id) else None
            with datasets.filling(record.id, record.version) as filled:
                _also_as(path, filled / ROWS)
                datasets.add(record, filled)
            if newer:
                datasets.go_to(record.id, newer)
        shutil.rmtree(came, ignore_errors=True)
        with datasets.db.write():
            link_rows(folder, spec, datasets)


def take_in_or_say(folder: Path, datasets: DatasetStore) -> AdviceEvent | None:
    """As `take_in`; what is to be said of the run when its rows are refused."""
    try:
        take_in(folder, datasets)
    except StudioError as error:
        if error.code != "unreadable-file":
            raise
        return AdviceEvent(
            step=0,
            title="Its rows were not taken in",
            message=f"The folder of this run was copied here, and of its rows this is so: {error.given}.",
            action="To evaluate it, or to go on, delete it here and copy its folder again when that is whole.",
        )
    return None


def _also_as(file: Path, name: Path) -> None:
    """A second name of a file, or a copy of it; it keeps its own until all is done."""
    try:
        os.link(file, name)
    except OSError:
        shutil.copyfile(file, name)


def _record_of(rows: Path, dataset: str, version: int) -> DatasetRecord:
    """What is known of rows that came from elsewhere, checked against them; a refusal when it is not so."""
    try:
        record = DatasetRecord.model_validate_json(rows.with_name(f"{rows.name}.json").read_bytes())
        table = open_parquet(rows.with_name(f"{rows.name}.parquet"))
        told = (record.id, record.version, record.rows, record.columns)
        if told != (dataset, version, sum(1 for _ in table.source.values(1)), tuple(table.columns)):
            raise ValueError("it tells of other rows")
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, StudioError) as error:
        raise no_run("its rows can't be read, or are not what it says of them") from error
    return record
