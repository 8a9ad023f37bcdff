"""A folder in the place of another: whatever moment a process is ended at, one of the two is there, and whole."""

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.machine.disk import end_putting, put_in_place, sync_tree
from studio.training.loop.checkpoints import replace_folder


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A new folder, and the place in which an old one lies."""
    new, place = tmp_path / ".adapter.new", tmp_path / "adapter"
    for folder, text in ((new, "new"), (place, "old")):
        folder.mkdir()
        (folder / "weights").write_text(text)
    return new, place


def trapped(monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException) -> None:
    """Raise when a folder is about to be renamed that has this name."""
    rename = Path.rename

    def raising(one: Path, two: Path) -> Path:
        if one.name == name:
            raise error
        return rename(one, two)

    monkeypatch.setattr(Path, "rename", raising)


def left(place: Path) -> dict[str, str]:
    return {folder.name: (folder / "weights").read_text() for folder in place.parent.iterdir()}


@pytest.mark.parametrize(
    ("moment", "beside", "then"),
    [
        ("adapter", {".adapter.new": "new", "adapter": "old"}, {".adapter.new": "new", "adapter": "old"}),
        (".adapter.new", {".adapter.new": "new", ".adapter.old": "old"}, {"adapter": "new"}),
    ],
)
def test_a_process_that_ends_before_either_rename_loses_neither_folder(
    folders: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
    beside: dict[str, str],
    then: dict[str, str],
) -> None:
    new, place = folders
    with monkeypatch.context() as patch, pytest.raises(Killed):
        trapped(patch, moment, Killed())
        replace_folder(new, place)
    assert left(place) == beside
    end_putting(new, place)
    assert left(place) == then


def test_one_that_ends_after_both_renames_has_the_new_folder_and_nothing_else(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    new, place = folders

    def ended(folder: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("studio.machine.disk.sync_folder", ended)
        put_in_place(new, place)
    assert left(place) == {"adapter": "new", ".adapter.old": "old"}
    end_putting(new, place)
    assert left(place) == {"adapter": "new"}


def test_an_old_folder_aside_comes_back_when_the_new_one_is_gone(folders: tuple[Path, Path]) -> None:
    new, place = folders
    place.rename(place.with_name(".adapter.old"))
    (new / "weights").unlink()
    new.rmdir()
    end_putting(new, place)
    assert left(place) == {"adapter": "old"}


def test_a_half_written_new_folder_is_not_taken_in(folders: tuple[Path, Path]) -> None:
    new, place = folders
    end_putting(new, place)
    assert left(place) == {".adapter.new": "new", "adapter": "old"}


def test_a_rename_that_the_system_refuses_leaves_the_old_folder_in_its_place(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    new, place = folders
    with monkeypatch.context() as patch, pytest.raises(PermissionError):
        trapped(patch, ".adapter.new", PermissionError("no"))
        put_in_place(new, place)
    assert left(place) == {".adapter.new": "new", "adapter": "old"}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is behind a handle")
def test_the_old_folder_goes_only_when_the_new_one_is_on_the_disk_in_its_place(
    folders: tuple[Path, Path], on_disk: list[tuple[str, str]]
) -> None:
    new, place = folders
    replace_folder(new, place)
    assert on_disk == [
        ("sync", "weights"),
        ("sync", ".adapter.new"),
        ("rename", ".adapter.old"),
        ("rename", "adapter"),
        ("sync", place.parent.name),
    ]
    assert left(place) == {"adapter": "new"}


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_that_does_not_sync_folders_is_borne_and_a_broken_disk_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refusing(number: int) -> Callable[[int], None]:
        def sync(handle: int) -> None:
            raise OSError(number, os.strerror(number))

        return sync

    monkeypatch.setattr(os, "fsync", refusing(number))
    sync_tree(tmp_path)
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output"):
        sync_tree(tmp_path)
