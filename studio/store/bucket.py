"""The data folder in a bucket: saved every minute, and restored when the server starts on an empty disk.

SQLite is not safe on a mounted bucket, so databases and running runs stay on the local disk. The bucket gets a
consistent copy of each database, and the files of datasets and of runs that have ended (snapshots.py). The database is
copied first, so a snapshot has at least the files that its database names.
"""

import json
import logging
import os
import re
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from studio.machine.locks import alone
from studio.schema.errors import StudioError
from studio.schema.numbers import size
from studio.schema.runs import ACTIVE
from studio.store.datasets import IN_RUN
from studio.store.db_recovery import is_damage
from studio.store.files import NO_ROOM, no_room, read_json, require_room, write_whole
from studio.store.snapshots import KEPT_SECONDS, Saved, Snapshot, Snapshots, Unreadable

VARIABLE = "STUDIO_BUCKET"
"""Environment variable with the folder at which a bucket is mounted."""
MOUNTED = Path("/data")
"""Where a Space mounts its bucket, unless its owner chose another folder."""
FOLDER = "finetune-studio"
"""The studio's folder in a bucket."""
STATE = "bucket.json"
SAVE_SECONDS = 60.0
OF_HOME = ("*.secret", "trusted-models.json")
"""Files of the data folder itself that are saved. The owner's Hub token is not."""
OF_RUN_LEFT_OUT = ("exports", IN_RUN)
"""Folders of a run that can be made again: its exports, and links to the rows of its dataset."""
DESCRIPTIONS = ("config.yaml", "run.json")
"""What is saved of a run that trains."""
TEMPORARY = ".bucket-"
_DATABASE = re.compile(r"studio(-\d+)?\.db(-wal|-shm|-journal)?")
_WORKING = tuple(sorted(ACTIVE - {"queued"}))
_log = logging.getLogger("studio.bucket")


@dataclass(frozen=True)
class BucketState:
    """What a data folder knows of its bucket."""

    number: int = 0
    """The number of the last snapshot. 0: none."""
    writer: str = ""
    """The start of the server that wrote it."""
    server: str = ""
    """The last start of a server with this data folder."""
    time: float = 0.0
    """When the bucket was last known to have everything, in seconds since 1970."""
    bytes: int = 0
    restoring: bool = False
    """Whether the folder is being filled from the bucket."""
    problem: str = ""
    """Why the last try to save failed. Empty when it did not."""

    @property
    def sentence(self) -> str:
        """What the owner of the studio should know."""
        saved = datetime.fromtimestamp(self.time, UTC).strftime("%Y-%m-%d %H:%M")
        if self.problem:
            before = f"The last copy was made at {saved} UTC." if self.time else "No copy was made yet."
            return f"The bucket has no current copy. {self.problem} {before}"
        if not self.time:
            return "The bucket has no copy yet."
        return f"The bucket has a copy of {saved} UTC, {size(self.bytes)}."


def bucket_state(home: Path) -> BucketState | None:
    """What a data folder knows of its bucket. None without a bucket."""
    known = read_json(home / STATE)
    try:
        return BucketState(**known) if known else None
    except TypeError:  # of another version
        return None


def bucket_folder() -> Path | None:
    """The folder of the mounted bucket: `$STUDIO_BUCKET`, or /data on a Space. None without a bucket.

    Raises:
        StudioError `bad-setting`: when `$STUDIO_BUCKET` names no folder that can be written to.
    """
    named = os.environ.get(VARIABLE, "").strip()
    folder = Path(named) if named else MOUNTED
    if not named and not os.environ.get("SPACE_ID"):
        return None
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return folder / FOLDER
    if named:
        raise StudioError(
            "bad-setting",
            "The studio can't write to the folder of the bucket.",
            given=f"{VARIABLE}={named}",
            valid="the folder at which a bucket is mounted for reading and writing",
            hint="Mount the bucket there, or remove the variable.",
        )
    return None


@dataclass(frozen=True)
class _Database:
    """The last copy of a database."""

    changed: tuple[tuple[int, int], ...]
    saved: Saved
    working: frozenset[str]
    """Runs that train in it."""


class Bucket:
    """Saves a data folder to a bucket, and restores it."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home, self.snapshots = home, Snapshots(folder)
        self.state = bucket_state(home) or BucketState()
        self._last: list[Snapshot] = []
        """The newest snapshot, and the one before it."""
        self._databases: dict[str, _Database] = {}
        self._pruned = time.time()
        self._lock = threading.Lock()
        self._is_over = False
        _log.setLevel(logging.INFO)

    # --- restore ---

    def restore(self) -> None:
        """Fill an empty data folder from the newest snapshot that is complete. Nothing may have opened it yet.

        Raises:
            StudioError: `bad-setting` when the folder has other data than the bucket, or when no snapshot can be read;
                `disk-full`.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        with alone(self.home / STATE):
            for left in self.home.glob(f"{TEMPORARY}*"):
                shutil.rmtree(left, ignore_errors=True)
            try:
                with no_room(self.snapshots.folder):
                    self.snapshots.begin()
                self._restore()
            except OSError as error:
                raise _unreadable(self.snapshots.folder, error.strerror or type(error).__name__) from error
            self._keep(server=self.snapshots.server, restoring=False)

    def _restore(self) -> None:
        if self.state.restoring or not any((self.home / "workspaces").glob("*")):
            if not self.snapshots.is_empty:
                self._fill()
        elif newest := self.snapshots.newest():
            is_own = newest.server == self.state.server  # its note may be missing, because the server was killed
            if not is_own and (newest.number, newest.server) != (self.state.number, self.state.writer):
                raise _other_data(self.snapshots.folder)
            self._last = [newest]

    def _fill(self) -> None:
        self._keep(restoring=True)
        for snapshot in self.snapshots.all():
            require_room(self.home, snapshot.bytes)
            shutil.rmtree(self.home / "workspaces", ignore_errors=True)
            try:
                with no_room(self.home):
                    self._fetch(snapshot)
            except Unreadable as error:
                _log.warning("The copy number %d in the bucket is not complete: %s", snapshot.number, error)
                continue
            self._last = [snapshot]
            self._keep(number=snapshot.number, writer=snapshot.server, time=snapshot.time, bytes=snapshot.bytes)
            _log.info("Restored from the bucket. Files: %d. %s", len(snapshot.files), self.state.sentence)
            return
        raise _unreadable(self.snapshots.folder, "no copy in it is complete")

    def _fetch(self, snapshot: Snapshot) -> None:
        (self.home / "workspaces").mkdir(mode=0o700)
        for name, saved in snapshot.files.items():
            to = self.home / name
            to.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.snapshots.fetch(saved, to)
        for mark in (self.home / "workspaces").glob("*/address"):  # the time of the visitor's last visit
            visited = mark.stat().st_mtime_ns
            os.utime(mark.parent, ns=(visited, visited))

    # --- save ---

    def save(self) -> None:
        """Save what has changed. A problem is logged and shown to the owner; the next call tries again."""
        with self._lock:
            if self._is_over:
                return
            try:
                problem = self._save()
            except StudioError as error:
                problem = error.what
            except (OSError, sqlite3.Error) as error:
                problem = _reason(error)
            if problem:
                _log.warning("The data folder was not saved to the bucket. %s", problem)
            with suppress(OSError, StudioError):
                self._keep(problem=problem, **({} if problem else {"time": time.time()}))

    def _save(self) -> str:
        """Save, and return why not. Empty when all is saved."""
        if self.snapshots.is_superseded():
            self._is_over = True
            return "Another server has started with this bucket, so this one no longer saves."
        known = dict(self._last[0].files) if self._last else {}
        added: list[Saved] = []
        try:
            files = self._files(known, added)
            if files == known:
                if time.time() - self._pruned > KEPT_SECONDS:
                    self._prune(self._last[:1])
                return ""
            newest = self.snapshots.newest()
            number = max(self.state.number, newest.number if newest else 0) + 1
            snapshot = self.snapshots.add_list(number, files)
        except BaseException:
            for each in added:
                self.snapshots.discard(each)
            self._databases.clear()
            raise
        previous, self._last = self._last[:1], [snapshot]
        self._keep(number=number, writer=snapshot.server, bytes=snapshot.bytes)
        _log.info("Saved to the bucket. New files: %d, %s.", len(added), size(sum(each.size for each in added)))
        self._prune([snapshot, *previous])
        return ""

    def _prune(self, kept: list[Snapshot]) -> None:
        self._last, self._pruned = kept, time.time()
        self.snapshots.prune(kept)

    def _files(self, known: Mapping[str, Saved], added: list[Saved]) -> dict[str, Saved]:
        """All files as they are now. New and changed ones are written to the bucket, and noted in `added`."""
        files: dict[str, Saved] = {}
        working: dict[Path, frozenset[str]] = {}
        with TemporaryDirectory(dir=self.home, prefix=TEMPORARY) as temporary:
            for path in sorted((self.home / "workspaces").glob("*/studio*.db")):
                name = path.relative_to(self.home).as_posix()
                database = self._database(path, known.get(name), Path(temporary), added)
                if database:
                    self._databases[name], files[name] = database, database.saved
                    working[path.parent] = working.get(path.parent, frozenset()) | database.working
        for path in self._paths(working):
            name = path.relative_to(self.home).as_posix()
            saved = self._file(path, known.get(name), added)
            if saved:
                files[name] = saved
        return files

    def _database(self, path: Path, known: Saved | None, temporary: Path, added: list[Saved]) -> _Database | None:
        """A consistent copy of a database, made by SQLite while others write to it. None when there is none any more.

        Of a damaged database the last copy stays, until the studio has replaced it.
        """
        changed, before = _changed(path), self._databases.get(path.relative_to(self.home).as_posix())
        if before and before.changed == changed:
            return before
        copy = temporary / "copy.db"
        copy.unlink(missing_ok=True)
        try:
            with (
                _unvisited(path.parent),
                closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=30)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")  # one file
                working = _working(target)
        except sqlite3.DatabaseError as error:
            if not path.exists():
                return None
            if is_damage(error):
                return _Database((), known, frozenset()) if known else None
            raise
        with copy.open("rb") as file:
            saved = self.snapshots.add_file(file, copy.stat().st_mtime_ns)
        if known and saved.sha256 == known.sha256 and self.snapshots.has(known):
            self.snapshots.discard(saved)
            return _Database(changed, known, working)
        added.append(saved)
        return _Database(changed, saved, working)

    def _file(self, path: Path, known: Saved | None, added: list[Saved]) -> Saved | None:
        """A file. None when it was deleted in this moment, or is no plain file."""
        try:
            file = open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
        except OSError:
            return None
        with file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None
            same = known and (known.size, known.changed) == (status.st_size, status.st_mtime_ns)
            if known and same and (self._has_saved or self.snapshots.has(known)):
                return known
            saved = self.snapshots.add_file(file, status.st_mtime_ns)
        added.append(saved)
        return saved

    @property
    def _has_saved(self) -> bool:
        """Whether this server has written the last snapshot, so that its files need not be looked for."""
        return bool(self._last) and self._last[0].server == self.snapshots.server

    def _paths(self, working: Mapping[Path, frozenset[str]]) -> Iterator[Path]:
        """Files to save. Of a run that trains only its description, because its other files are being written."""
        for pattern in OF_HOME:
            yield from self.home.glob(pattern)
        for workspace in sorted((self.home / "workspaces").glob("*")):
            runs = {workspace / "runs" / run for run in working.get(workspace, ())}
            left_out = {workspace / "encoded"}
            left_out |= {run / name for run in (workspace / "runs").glob("*") for name in OF_RUN_LEFT_OUT}
            for above, folders, names in os.walk(workspace):
                folder = Path(above)
                trains = folder in runs
                folders[:] = [] if trains else [each for each in folders if folder / each not in left_out]
                for name in names:
                    if _DATABASE.fullmatch(name) if folder == workspace else trains and name not in DESCRIPTIONS:
                        continue
                    if not name.startswith("."):
                        yield folder / name

    def _keep(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        write_whole(self.home / STATE, json.dumps(asdict(self.state)))


def _changed(path: Path) -> tuple[tuple[int, int], ...]:
    """When the files of a database were changed, and their sizes."""
    known = []
    for each in (path, path.with_name(f"{path.name}-wal")):
        with suppress(OSError):
            status = each.stat()
            known.append((status.st_mtime_ns, status.st_size))
    return tuple(known)


@contextmanager
def _unvisited(workspace: Path) -> Iterator[None]:
    """Leave the time of a workspace's folder as it was. SQLite makes files in it, which would count as a visit."""
    before = workspace.stat().st_mtime_ns if workspace.exists() else 0
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            os.utime(workspace, ns=(before, before))


def _working(connection: sqlite3.Connection) -> frozenset[str]:
    """The runs that train."""
    marks = ", ".join("?" * len(_WORKING))
    try:
        rows = connection.execute(f"SELECT id FROM runs WHERE status IN ({marks})", _WORKING).fetchall()
    except sqlite3.OperationalError:  # its tables are being made
        rows = []
    return frozenset(row[0] for row in rows)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return "The bucket or the local disk is full."
    if isinstance(error, OSError):
        return f"{error.strerror or type(error).__name__}."
    return "A database is locked or can't be read."


def _unreadable(folder: Path, reason: str) -> StudioError:
    return StudioError(
        "bad-setting",
        f"The copy of the data folder in the bucket can't be read: {reason}.",
        given=folder,
        hint=f"Try again. To start without that data, rename the folder {FOLDER} in the bucket.",
    )


def _other_data(folder: Path) -> StudioError:
    return StudioError(
        "bad-setting",
        "The data folder and the bucket have different data, so neither is changed.",
        given=folder,
        hint=f"To restore the bucket, use an empty data folder. To save this one, rename {FOLDER} in the bucket.",
    )
