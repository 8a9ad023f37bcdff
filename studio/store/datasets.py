"""Datasets: a folder and a row in the database for each version, never changed once written."""

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
from studio.store.files import no_room, rid, write_whole

ROWS = "rows.parquet"
RECORD = "record.json"
"""What is known of a version, in its own folder: should the database be lost, it is listed again."""
IN_RUN = "rows"
"""Folder of a run with the rows it learned from: DATASET-vVERSION.parquet, and .json with what is known of them."""
PACKED = "run-with-rows.zip"
"""Such a run as one file, among its exports; as long as its rows are here it can be made again."""
LEFT_OVER = 24 * 3600
"""Seconds after which a half-written version is nobody's any more."""


class DatasetStore:
    """Where the rows of each version lie, and what is known of them."""

    def __init__(self, db: Database, root: Path) -> None:
        self.db, self.root = db, root
        self.computed = Computed()

    def new_id(self) -> str:
        """A new dataset's id."""
        return f"data-{secrets.token_hex(5)}"

    def folder(self, dataset: str, version: int) -> Path:
        """Folder of a version (made by `begin`)."""
        return self.root / dataset / f"v{version}"

    def rows_path(self, dataset: str, version: int) -> Path:
        """The Parquet file of a version's rows."""
        return self.folder(dataset, version) / ROWS

    def sweep(self) -> None:
        """Remove what a process that was killed left half written; what is being written is younger."""
        for folder in self.root.glob("*/.v*.new"):
            with suppress(OSError):
                if folder.stat().st_mtime < time.time() - LEFT_OVER:
                    shutil.rmtree(folder, ignore_errors=True)
                    folder.parent.rmdir()

    def originals(self, dataset: str, version: int) -> list[Path]:
        """The files that a version came from, in their order."""
        found = self.folder(dataset, version).glob("original*")
        return sorted(found, key=lambda path: int("".join(filter(str.isdigit, path.stem)) or 0))

    def labelling_folder(self, dataset: str) -> Path:
        """Where embeddings and suggestions of a dataset are kept: they can be made again, and go with it."""
        return self.root / dataset / "labelling"

    def parts_folder(self, dataset: str) -> Path:
        """Where it is kept which part the texts of each version are in: it can be worked out again too."""
        return self.root / dataset / "parts"

    def begin(self, dataset: str, version: int) -> Path:
        """An empty folder beside the version's own, to be filled and then handed to `add`."""
        folder = self.root / dataset / f".v{version}.new"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    @contextmanager
    def filling(self, dataset: str, version: int) -> Iterator[Path]:
        """The folder of `begin`; when filling it fails, nothing of it is left."""
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
        """Put a filled folder in its place and make it the current version."""
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
            # A kill between the rename and the commit leaves a folder that belongs to no version.
            shutil.rmtree(folder, ignore_errors=True)
            filled.rename(folder)
            # The database says that it is there only when it would be after a power cut, too.
            for above in (folder.parent, self.root, self.root.parent):
                sync_folder(above)
        return record

    def get(self, dataset: str, version: int | None = None) -> DatasetRecord:
        """A version of a dataset, the current one unless told."""
        row = self.db.row(
            "SELECT record FROM versions JOIN datasets ON id = dataset WHERE id = ? AND version = coalesce(?, current)",
            (dataset, version),
        )
        if row is None:
            what = f"There is no dataset {dataset}" + (f" with a version {version}." if version else ".")
            raise StudioError("no-such-dataset", what, hint="Bring the file again, or choose another dataset.")
        return DatasetRecord.model_validate_json(row["record"])

    def has(self, dataset: str, version: int | None = None) -> bool:
        """Whether a version of a dataset is listed, or any of it."""
        known = "SELECT 1 FROM versions WHERE dataset = ? AND version = coalesce(?, version)"
        return self.db.row(known, (dataset, version)) is not None

    def all(self) -> list[DatasetRecord]:
        """Current versions, newest first."""
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
        """Remember how a version's columns are read."""
        record = self.get(dataset, version).model_copy(update={"spec": spec})
        with self.db.write() as connection:
            connection.execute(
                "UPDATE versions SET record = ? WHERE dataset = ? AND version = ?",
                (record.model_dump_json(), dataset, version),
            )
        write_whole(self.folder(dataset, version) / RECORD, record.model_dump_json(indent=2))
        return record

    def import_copied_runs(self) -> None:
        """List again the versions whose folders tell what they are and that the database has lost."""
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
        """Remove a dataset with all its versions and labels, from the folders of this workspace's runs too."""
        self.get(dataset)
        in_run = re.compile(rf"{re.escape(dataset)}-v\d+\.(parquet|json)")
        runs = self.root.with_name("runs")

        def forget() -> None:
            with self.db.write() as connection:
                connection.execute("DELETE FROM datasets WHERE id = ?", (dataset,))
                for path in (*runs.glob(f"*/{IN_RUN}/*"), *runs.glob(f"*/exports/{PACKED}")):
                    if path.name == PACKED or in_run.fullmatch(path.name):
                        path.unlink(missing_ok=True)

        rid(self.root / dataset, forget)
