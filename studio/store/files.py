"""Files that are whole or not there: written beside, synced, renamed; and room on the disk asked for first."""

import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from studio.machine.disk import FULL, sync_folder
from studio.schema.errors import StudioError

NO_ROOM = (*FULL, errno.EFBIG)
"""Errors of the system for a full disk, a full quota, and a file that may not grow further."""
RESERVE = 64 * 2**20
"""Bytes that are always left free, for the database and the log."""

JUST_NOW, A_WHILE = 3.0, 0.4
"""Seconds since something was written, so that more may come; and after which it is looked whether more has come."""


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text so that a reader, or a power cut, finds the old one or the new one and nothing between."""
    beside = path.with_name(f".{path.name}.{threading.get_native_id()}.new")  # several threads may write it at once
    try:
        with (
            no_room(path),
            open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8") as out,
        ):
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, path)
        sync_folder(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def require_room(folder: Path, bytes_needed: int) -> None:
    """Refuse when a folder's disk has less room than that, and a little more."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    if free < bytes_needed + RESERVE:
        raise StudioError(
            "disk-full",
            "There is not enough room on the disk.",
            given=f"{free / 2**20:,.0f} MB free, {(bytes_needed + RESERVE) / 2**20:,.0f} MB needed",
            hint="Free some room, or delete runs and datasets that are no longer needed.",
        )


@contextmanager
def no_room(path: Path) -> Iterator[None]:
    """Turn the system's 'no space left' into a plain sentence."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise disk_full(path) from error
        raise


@contextmanager
def though_full() -> Iterator[None]:
    """What can wait is left undone on a full disk, or nobody could look at what lies there and delete some of it."""
    try:
        yield
    except StudioError as error:
        if error.code != "disk-full":
            raise


def rid(folder: Path, forget: Callable[[], None]) -> None:
    """Remove a folder and what a database tells of it: that first, unless it needs the folder's room for it."""
    with though_full():
        forget()
        shutil.rmtree(folder, ignore_errors=True)
        return
    shutil.rmtree(folder, ignore_errors=True)
    forget()


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Of several processes and threads that do something with a file or a folder one does it, and the others wait."""
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def disk_full(path: Path) -> StudioError:
    """What is said when a file could not be written whole."""
    return StudioError(
        "disk-full",
        f"The disk became full while {path.name} was written.",
        hint="Nothing that was there before is lost. Free some room and try again.",
    )


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder, 0 when it is not there."""
    return sum(told.st_size for _, told in _files(folder))


def is_written_to(folder: Path, seconds: float) -> bool:
    """Whether a file in a folder, logs aside, has been written to within so many seconds."""
    now = time.time()
    return any(-1 <= now - told.st_mtime <= seconds for name, told in _files(folder) if not name.endswith(".log"))


def still(folder: Path) -> bool:
    """Whether nobody is filling a folder just now; when something in it is quite new, it is looked at a while later."""
    before = _told(folder)
    if all(not -1 <= time.time() - changed <= JUST_NOW for _, changed in before):
        return True
    time.sleep(A_WHILE)
    return _told(folder) == before


def _told(folder: Path) -> list[tuple[int, float]]:
    """Bytes of each file, and when it was last changed, or came here."""
    return [(told.st_size, told.st_ctime) for _, told in _files(folder)]


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Name of each file below a folder, and what the system says of it; one that goes meanwhile is passed over."""
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                yield name, os.stat(os.path.join(above, name))
