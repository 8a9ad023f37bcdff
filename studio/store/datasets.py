"""Datasets: each version has a folder and a row in the database. A version never changes once written."""

import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from studio.machine.disk import sync_folder, sync_tree
from studio.schema.dataset import DatasetRecord, DatasetSpec
from studio.schema.errors import StudioError
from studio.store.cache import Computed
from studio.store.db import Database, now
from studio.store.files import delete_folder, no_room, write_whole

ROWS = "rows.parquet"
RECORD = "record.json"
"""The record of a version in its own folder. If the database is lost, the version is listed again from it."""
IN_RUN = "rows"
"""Folder of a run that holds its rows: DATASET-vVERSION.parquet, and a .json file with the record."""
PACKED = "run-with-rows.zip"
"""Name of the export that holds a run with its rows in one file. It can be written again while the rows exist."""
DATASETS = "data-*"
"""Names of the folders of datasets."""
LEFT_OVER = 24 * 3600
"""Age in seconds after which a partly written version is considered abandoned."""


class DatasetStore:
    """Folders and records of the dataset versions of a workspace."""

    def __init__(self, db: Database, root: Path) -> None:
        self.db, self.root = db, root
        self.computed = Computed()

    def new_id(self) -> str:
        """A new dataset id."""
        return f"data-{secrets.token_hex(5)}"

    def folder(self, dataset: str, version: int) -> Path:
        """The folder of a version. `begin` and `add` create it."""
        return self.root / dataset / f"v{version}"

    def rows_path(self, dataset: str, version: int) -> Path:
        """The Parquet file with a version's rows."""
        return self.folder(dataset, version) / ROWS

    def sweep(self) -> None:
        """Remove partly written versions of processes that were killed. Younger folders may still be in use.

        Caches of deleted datasets go too: suggestions that were being computed are written after the deletion.
        """
        for folder in self.root.glob("*/.v*.new"):
            with suppress(OSError):
                if folder.stat().st_mtime < time.time() - LEFT_OVER:
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.parent.rmdir()
        for folder in self.root.glob(DATASETS):
            with suppress(OSError):
                if not any(folder.glob("*v*")) and folder.stat().st_mtime < time.time() - LEFT_OVER:
                    shutil.rmtree(folder, ignore_errors=True)

    def originals(self, dataset: str, version: int) -> list[Path]:
        """The uploaded files of a version, in their order."""
        files = self.folder(dataset, version).glob("original*")
        return sorted(files, key=lambda path: int("".join(filter(str.isdigit, path.stem)) or 0))

    def labelling_folder(self, dataset: str) -> Path:
        """The folder for embeddings and label suggestions of a dataset. Its content can be computed again."""
        return self.root / dataset / "labelling"

    def parts_folder(self, dataset: str) -> Path:
        """The folder that caches which split the texts of each version are in. Its content can be computed again."""
        return self.root / dataset / "parts"

    def begin(self, dataset: str, version: int) -> Path:
        """Create an empty folder beside the version's own. Fill it and pass it to `add`."""
        folder = self.root / dataset / f".v{version}.new"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    @contextmanager
    def filling(self, dataset: str, version: int) -> Iterator[Path]:
        """As `begin`, but the folder is removed when the block raises an error."""
        folder = self.begin(dataset, version)
        try:
            with no_room(folder / ROWS):
                yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # other versions of the dataset stay
                folder.parent.rmdir()
            raise

    def add(self, record: DatasetRecord, filled: Path) -> DatasetRecord:
        """Move a filled folder into place, insert its record, and make it the current version."""
        folder = self.folder(record.id, record.version)
        write_whole(filled / RECORD, record.model_dump_json(indent=2))
        with no_room(filled / ROWS):
            sync_tree(filled)
        with self.db.write() as connection:
            connection.execute(
                "INSERT INTO datasets VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET current = excluded.current",
                (record.id, record.name, record.source, record.created or now(), record.version),
            )
            connection.execute(
                "INSERT INTO versions VALUES (?, ?, ?)", (record.id, record.version, record.model_dump_json())
            )
            # A kill between the rename and the commit leaves a folder without a database row.
            shutil.rmtree(folder, ignore_errors=True)
            filled.rename(folder)
            # The commit must not become durable before the folder is.
            for above in (folder.parent, self.root, self.root.parent):
                sync_folder(above)
        return record

    def get(self, dataset: str, version: int | None = None) -> DatasetRecord:
        """The record of a version, by default of the current one. Raises `no-such-dataset`."""
        row = self.db.row(
            "SELECT record FROM versions JOIN datasets ON id = dataset WHERE id = ? AND version = coalesce(?, current)",
            (dataset, version),
        )
        if row is None:
            what = f"There is no dataset {dataset}."
            if version:
                what = f"There is no dataset {dataset} with version {version}."
            raise StudioError("no-such-dataset", what, hint="Import the file again, or choose another dataset.")
        return DatasetRecord.model_validate_json(row["record"])

    def has(self, dataset: str, version: int | None = None) -> bool:
        """Whether a version of a dataset exists. Without a version: whether the dataset exists."""
        known = "SELECT 1 FROM versions WHERE dataset = ? AND version = coalesce(?, version)"
        return self.db.row(known, (dataset, version)) is not None

    def all(self) -> list[DatasetRecord]:
        """The current version of every dataset, newest dataset first."""
        rows = self.db.rows(
            "SELECT record FROM versions JOIN datasets ON id = dataset AND version = current ORDER BY created DESC, id"
        )
        return [DatasetRecord.model_validate_json(row["record"]) for row in rows]

    def versions(self, dataset: str) -> list[DatasetRecord]:
        """All versions of a dataset, oldest first."""
        rows = self.db.rows("SELECT record FROM versions WHERE dataset = ? ORDER BY version", (dataset,))
        return [DatasetRecord.model_validate_json(row["record"]) for row in rows]

    def go_to(self, dataset: str, version: int) -> DatasetRecord:
        """Make an earlier version the current one."""
        record = self.get(dataset, version)
        with self.db.write() as connection:
            connection.execute("UPDATE datasets SET current = ? WHERE id = ?", (version, dataset))
        return record

    def keep_spec(self, dataset: str, version: int, spec: DatasetSpec) -> DatasetRecord:
        """Save how the columns of a version are used."""
        with self.db.write() as connection:  # no other process renames the dataset between reading and writing
            record = self.get(dataset, version).model_copy(update={"spec": spec})
            connection.execute(
                "UPDATE versions SET record = ? WHERE dataset = ? AND version = ?",
                (record.model_dump_json(), dataset, version),
            )
        write_whole(self.folder(dataset, version) / RECORD, record.model_dump_json(indent=2))
        return record

    def rename(self, dataset: str, name: str) -> DatasetRecord:
        """Change the name of a dataset, in the records of all its versions."""
        with self.db.write() as connection:  # no other process saves roles between reading and writing
            renamed = [each.model_copy(update={"name": name}) for each in self.versions(dataset)]
            connection.execute("UPDATE datasets SET name = ? WHERE id = ?", (name, dataset))
            connection.executemany(
                "UPDATE versions SET record = ? WHERE dataset = ? AND version = ?",
                [(each.model_dump_json(), dataset, each.version) for each in renamed],
            )
        for each in renamed:
            write_whole(self.folder(dataset, each.version) / RECORD, each.model_dump_json(indent=2))
        return self.get(dataset)

    def copy(self, dataset: str, **changes: str) -> DatasetRecord:
        """A new dataset with the same versions and files. `changes`: fields of its records. The files are no links."""
        current, new = self.get(dataset), self.new_id()
        try:
            for record in self.versions(dataset):
                with self.filling(new, record.version) as folder:
                    shutil.copytree(self.folder(dataset, record.version), folder, dirs_exist_ok=True)
                    made = {**changes, "id": new, "created": now()}
                    self.add(record.model_copy(update=made), folder)
        except BaseException:
            if self.has(new):
                self.delete(new)
            raise
        return self.go_to(new, current.version)

    def import_copied_runs(self) -> None:
        """List versions again whose folders have a record and that the database has lost."""
        for path in sorted(self.root.glob(f"*/v*/{RECORD}"), key=lambda path: (path.stat().st_mtime, str(path))):
            try:
                record = DatasetRecord.model_validate_json(path.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if path.parent != self.folder(record.id, record.version) or not (path.parent / ROWS).exists():
                continue
            with self.db.write() as connection:
                connection.execute(
                    "INSERT INTO datasets VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                    (record.id, record.name, record.source, record.created or now(), record.version),
                )
                added = connection.execute(
                    "INSERT INTO versions VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (record.id, record.version, record.model_dump_json()),
                ).rowcount
                if added:
                    connection.execute(
                        "UPDATE datasets SET current = max(current, ?) WHERE id = ?", (record.version, record.id)
                    )

    def delete(self, dataset: str) -> None:
        """Remove a dataset with all versions and labels, and its rows in the run folders of this workspace."""
        self.get(dataset)
        in_run = re.compile(rf"{re.escape(dataset)}-v\d+\.(parquet|json)")
        runs = self.root.with_name("runs")

        def delete_records() -> None:
            with self.db.write() as connection:
                connection.execute("DELETE FROM datasets WHERE id = ?", (dataset,))
                for path in runs.glob(f"*/{IN_RUN}/*"):
                    if in_run.fullmatch(path.name):
                        path.unlink(missing_ok=True)
                for path in runs.glob(f"*/exports/{PACKED}"):
                    if _mentions(path.parent.with_name("config.yaml"), dataset):
                        path.unlink(missing_ok=True)

        delete_folder(self.root / dataset, delete_records)


def _mentions(config: Path, dataset: str) -> bool:
    """Whether the settings of a run name a dataset. True if they can't be read."""
    try:
        return dataset in config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return True
