"""Snapshots in a folder of a bucket: files with names that are never used twice, and lists of what they hold.

A bucket that is mounted as a folder has no reliable locks, renames or appends. So every file is written once, under a
new name, and later only read or deleted. A list is written after all of its files, and begins with its own checksum: a
list that was cut off, or whose files are missing, does not count, and the one before it does.
"""

import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from studio.machine.disk import NO_SYNC

OBJECTS, LISTS, SERVERS = "objects", "lists", "servers"
KEPT_SECONDS = 3600.0
"""Age at which what another server has left behind is deleted."""
CHUNK = 2**20
_SERVER = re.compile(r"\d{20}-[0-9a-f]{8}")
_OBJECT = re.compile(r"\d{20}-[0-9a-f]{8}-\d{8,}")


@dataclass(frozen=True)
class Saved:
    """A file of the data folder as a snapshot has it."""

    object: str
    """Name of the file in the bucket."""
    size: int
    """Bytes."""
    sha256: str
    changed: int
    """When the file in the data folder was changed, in nanoseconds."""


@dataclass(frozen=True)
class Snapshot:
    """A list: path below the data folder, with slashes → file."""

    number: int
    server: str
    """The start of the server that wrote it."""
    time: float
    """When it was written, in seconds since 1970."""
    files: Mapping[str, Saved]

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum(each.size for each in self.files.values())


class Unreadable(Exception):
    """A file of the bucket is missing, was cut off, or is not what its list says."""


class Snapshots:
    """The snapshots in a folder. `server` names this start of a server; names sort by the time of the start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = ""
        self._written = 0

    def begin(self) -> None:
        """Make the folders, and say that this server has started. An earlier server then stops saving."""
        for name in (OBJECTS, LISTS, SERVERS):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        latest = max((int(name.partition("-")[0]) for name in self._servers()), default=0)
        started = max(time.time_ns(), latest + 1)  # the clocks of two machines differ
        self.server = f"{started:020d}-{secrets.token_hex(4)}"
        (self.folder / SERVERS / self.server).touch()

    def _servers(self) -> list[str]:
        return [name for name in _names(self.folder / SERVERS) if _SERVER.fullmatch(name)]

    def is_superseded(self) -> bool:
        """Whether a later server has started with this bucket."""
        return any(name > self.server for name in self._servers())

    def all(self) -> Iterator[Snapshot]:
        """The snapshots whose lists are complete, the newest first."""
        for name in sorted(_names(self.folder / LISTS), reverse=True):
            with suppress(Unreadable):
                yield _read_list(self.folder / LISTS / name)

    def newest(self) -> Snapshot | None:
        """The newest snapshot. None when there is none."""
        return next(self.all(), None)

    @property
    def is_empty(self) -> bool:
        """Whether no list was ever written, not even one that was cut off."""
        return not _names(self.folder / LISTS)

    def add_file(self, source: IO[bytes], changed: int) -> Saved:
        """Write the content of an open file under a new name. What was written of it is removed on an error."""
        self._written += 1
        name = f"{self.server}-{self._written:08d}"
        path, digest, size = self.folder / OBJECTS / name, hashlib.sha256(), 0
        try:
            with path.open("xb") as out:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    out.write(chunk)
                _sync(out)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
        return Saved(name, size, digest.hexdigest(), changed)

    def has(self, saved: Saved) -> bool:
        """Whether a file is there, in its full size."""
        try:
            return (self.folder / OBJECTS / saved.object).stat().st_size == saved.size
        except OSError:
            return False

    def discard(self, saved: Saved) -> None:
        """Delete a file that no list has."""
        with suppress(OSError):
            (self.folder / OBJECTS / saved.object).unlink()

    def add_list(self, number: int, files: Mapping[str, Saved]) -> Snapshot:
        """Write a list, after all of its files."""
        snapshot = Snapshot(number, self.server, time.time(), dict(files))
        listed = {path: asdict(each) for path, each in sorted(files.items())}
        text = json.dumps({"number": number, "server": self.server, "time": snapshot.time, "files": listed})
        path = self.folder / LISTS / _list_name(number, self.server)
        try:
            with path.open("x", encoding="utf-8") as out:
                out.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
                _sync(out)
        except BaseException:
            with suppress(OSError):
                path.unlink()
            raise
        return snapshot

    def fetch(self, saved: Saved, to: Path) -> None:
        """Copy a file out of the bucket.

        Raises:
            Unreadable: when it is missing, or not what its list says.
        """
        source, digest = self.folder / OBJECTS / saved.object, hashlib.sha256()
        try:
            file = source.open("rb")
        except OSError as error:
            raise Unreadable(saved.object) from error
        with file, open(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            while chunk := _chunk(file, saved.object):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != saved.sha256:
            raise Unreadable(saved.object)
        os.utime(to, ns=(saved.changed, saved.changed))

    def prune(self, kept: Sequence[Snapshot]) -> None:
        """Delete all other lists, and the files that only they have. What a later server writes stays."""
        names = {_list_name(each.number, each.server) for each in kept}
        for name in _names(self.folder / LISTS):
            if name not in names:
                self._delete(self.folder / LISTS / name)
        used = {saved.object for each in kept for saved in each.files.values()}
        for name in _names(self.folder / OBJECTS):
            if name not in used:
                self._delete(self.folder / OBJECTS / name)
        for name in self._servers():
            if name < self.server:
                self._delete(self.folder / SERVERS / name)

    def _delete(self, path: Path) -> None:
        with suppress(OSError):
            if self.server in path.name or path.stat().st_mtime < time.time() - KEPT_SECONDS:
                path.unlink()


def _sync(file: IO[Any]) -> None:
    """Write a file to the disk, where its file system can be told to."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def _chunk(file: IO[bytes], name: str) -> bytes:
    try:
        return file.read(CHUNK)
    except OSError as error:
        raise Unreadable(name) from error


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _list_name(number: int, server: str) -> str:
    return f"{number:012d}-{server}.json"


def _read_list(path: Path) -> Snapshot:
    """A list.

    Raises:
        Unreadable: when it is cut off, or names a file outside of the data folder.
    """
    try:
        digest, _, text = path.read_text(encoding="utf-8").partition("\n")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            raise Unreadable(path.name)
        content = json.loads(text)
        files = {_inside(name): Saved(**each) for name, each in content.pop("files").items()}
        if not all(_OBJECT.fullmatch(each.object) for each in files.values()):
            raise Unreadable(path.name)
        return Snapshot(files=files, **content)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Unreadable(path.name) from error


def _inside(name: str) -> str:
    """A path below the data folder."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name:
        raise Unreadable(name)
    return name
