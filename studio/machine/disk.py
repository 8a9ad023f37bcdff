"""What is on this machine's disk and would be there after a power cut: files, folders, one in the place of another."""

import errno
import os
import shutil
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system answers when the disk, or the share that somebody has of it, is full."""
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""What file systems answer (network mounts) that do not sync folders."""


def sync_file(file: Path) -> None:
    """Make what was written to a file last through a power cut."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder, and a rename in it, last through a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Every file, and every folder with the names in it."""
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            sync_file(path)


def put_in_place(new: Path, place: Path) -> None:
    """Put a synced folder, `.NAME.new` beside it, in the place of another, which goes only when the new one is there.

    A kill in between leaves the old one aside and the new one whole: `end_putting` goes on from there.
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
    """Finish what a kill in the middle of `put_in_place` left: once the old folder is aside, the new one is whole."""
    aside = _aside(new)
    if not aside.exists():
        return
    if not place.exists():
        (new if new.exists() else aside).rename(place)
        sync_folder(place.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(new: Path) -> Path:
    return new.with_name(f"{new.name.removesuffix('.new')}.old")
