"""Atomic file writes: written to a temporary file, synced and renamed. Also checks of free disk space."""

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from studio.machine.disk import FULL, sync_folder
from studio.schema.errors import StudioError

NO_ROOM = (*FULL, errno.EFBIG)
"""Error numbers for a full disk, an exceeded quota, and a file that may not grow further."""
RESERVE = 64 * 2**20
"""Bytes that always stay free, for the database and the log."""

JUST_NOW, A_WHILE = 3.0, 0.4
"""A file written within the first number of seconds may still be growing. After the second, it is checked again."""


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text atomically: a reader, or a power failure, finds either the old or the new text."""
    # Several threads may write the file at once.
    beside = path.with_name(f".{path.name}.{threading.get_native_id()}.new")
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


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object. Empty when it is missing or invalid."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def require_room(folder: Path, bytes_needed: int) -> None:
    """Raise `disk-full` when the disk of a folder has less free space than this plus `RESERVE`."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(existing).free
    if free < bytes_needed + RESERVE:
        raise StudioError(
            "disk-full",
            "There is not enough disk space.",
            given=f"{free / 2**20:,.0f} MB free, {(bytes_needed + RESERVE) / 2**20:,.0f} MB needed",
            hint="Delete runs, datasets or other files that you no longer need.",
        )


def require_folder(folder: Path, field: str) -> None:
    """Raise `unknown-format` when a folder to write to does not exist. `field`: the argument with the path."""
    if not folder.is_dir():
        hint = "Create it first, or choose another folder."
        raise StudioError("unknown-format", "The folder does not exist.", given=folder, field=field, hint=hint)


def require_new_folder(to: Path) -> None:
    """Raise `not-allowed` unless a folder to write to is new or empty."""
    if to.exists() and not (to.is_dir() and not any(to.iterdir())):
        raise StudioError(
            "not-allowed",
            "A file or folder already exists at this path.",
            given=to.name,
            hint="Choose a new folder.",
            field="to",
        )


@contextmanager
def no_room(path: Path) -> Iterator[None]:
    """Raise `disk-full` as a `StudioError` when the system reports a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise disk_full(path) from error
        raise


@contextmanager
def ignore_full_disk() -> Iterator[None]:
    """Ignore a full disk, for work that can wait. Otherwise the user could not open the studio to delete something."""
    try:
        yield
    except StudioError as error:
        if error.code != "disk-full":
            raise


def delete_folder(folder: Path, delete_records: Callable[[], None]) -> None:
    """Delete a folder and its records. The records come first, unless the disk is too full to write that."""
    with ignore_full_disk():
        delete_records()
        shutil.rmtree(folder, ignore_errors=True)
        return
    shutil.rmtree(folder, ignore_errors=True)
    delete_records()


def disk_full(path: Path) -> StudioError:
    """The error when a file could not be written completely."""
    return StudioError(
        "disk-full",
        f"The disk became full while {path.name} was written.",
        hint="Free some disk space and try again. No earlier data is lost.",
    )


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder, 0 when it does not exist."""
    return sum(status.st_size for _, status in _files(folder))


def is_written_to(folder: Path, seconds: float) -> bool:
    """Whether a file in a folder was modified within this many seconds. Log files do not count."""
    now = time.time()
    return any(-1 <= now - status.st_mtime <= seconds for name, status in _files(folder) if not name.endswith(".log"))


def is_unchanging(folder: Path) -> bool:
    """Whether no process is filling a folder. If a file in it is very new, the folder is checked again after a
    moment."""
    before = _sizes_and_times(folder)
    if all(not -1 <= time.time() - changed <= JUST_NOW for _, changed in before):
        return True
    time.sleep(A_WHILE)
    return _sizes_and_times(folder) == before


def _sizes_and_times(folder: Path) -> list[tuple[int, float]]:
    """Size in bytes and change time of each file."""
    return [(status.st_size, status.st_ctime) for _, status in _files(folder)]


def _files(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Name and status of each file below a folder. Files that disappear meanwhile are skipped."""
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                yield name, os.stat(os.path.join(above, name))
