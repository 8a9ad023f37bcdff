"""Durable writes: files and folders that survive a power failure, and atomic replacement of folders."""

import errno
import os
import shutil
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers for a full disk or an exceeded quota."""
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""Error numbers of file systems (network mounts) that can't sync folders."""


def sync_file(file: Path) -> None:
    """Write a file's content to the disk, so that it survives a power failure."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, so that they and a rename survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Sync every file and every folder below a folder."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            sync_file(path)


def put_in_place(new: Path, place: Path) -> None:
    """Replace a folder by a synced one, `.NAME.new` beside it. The old folder is deleted after the new one is in place.

    If the process is killed in between, `end_putting` completes the replacement.
    """
    aside = _aside(new)
    if place.exists():
        shutil.rmtree(aside, ignore_errors=True)
        place.rename(aside)
    try:
        new.rename(place)
    except OSError:
        if aside.exists():
            aside.rename(place)
        raise
    sync_folder(place.parent)
    shutil.rmtree(aside, ignore_errors=True)


def end_putting(new: Path, place: Path) -> None:
    """Complete a replacement that was interrupted in `put_in_place`."""
    aside = _aside(new)
    if not aside.exists():
        return
    if not place.exists():
        (new if new.exists() else aside).rename(place)
        sync_folder(place.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(new: Path) -> Path:
    return new.with_name(f"{new.name.removesuffix('.new')}.old")
