"""Files are whole or not there, whatever happens while they are written."""

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from studio.schema.errors import StudioError
from studio.store.files import folder_size, no_room, require_room, sync_folder, write_whole

WRITES_FOR_EVER = """
import sys
from pathlib import Path
from studio.store.files import write_whole
print("ready", flush=True)
while True:
    for letter in "ab":
        write_whole(Path(sys.argv[1]), letter * 200_000)
"""


def test_a_written_file_has_the_text_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_whole(path, "Grüße, 世界\n")
    write_whole(path, "newer")
    assert path.read_text(encoding="utf-8") == "newer"
    assert [each.name for each in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is behind a handle")
def test_a_text_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(
    tmp_path: Path, on_disk: list[tuple[str, str]]
) -> None:
    write_whole(tmp_path / "note.txt", "words")
    assert on_disk == [("sync", f".note.txt.{os.getpid()}.new"), ("rename", "note.txt"), ("sync", tmp_path.name)]


def test_a_secret_is_never_readable_by_others_not_even_for_a_moment(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_whole(path, "x", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.slow
def test_a_killed_writer_leaves_the_old_text_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "state.txt"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITES_FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        time.sleep(0.1)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        text = path.read_text()
        assert len(text) == 200_000
        assert set(text) in ({"a"}, {"b"})


def test_a_failing_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "lone surrogate \ud800")
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_in_a_sentence(number: int, tmp_path: Path) -> None:
    with pytest.raises(StudioError) as caught, no_room(tmp_path / "rows.parquet"):
        raise OSError(number, os.strerror(number))
    assert caught.value.code == "disk-full"
    assert "rows.parquet" in caught.value.what


def test_other_errors_of_the_system_pass_through(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), no_room(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "no")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_disk_that_is_really_full_is_said_in_a_sentence() -> None:
    with pytest.raises(StudioError) as caught, no_room(Path("/dev/full")), open("/dev/full", "wb", buffering=0) as out:
        out.write(b"x")
    assert caught.value.code == "disk-full"


def test_room_is_asked_for_before_anything_is_written(tmp_path: Path) -> None:
    require_room(tmp_path, 1)
    with pytest.raises(StudioError) as caught:
        require_room(tmp_path, 10**18)
    assert caught.value.code == "disk-full"
    assert "MB free" in str(caught.value.given)


def test_a_folder_can_be_synced_and_measured(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"x" * 10)
    (tmp_path / "a" / "b" / "two").write_bytes(b"x" * 5)
    sync_folder(tmp_path)
    assert folder_size(tmp_path) == 15
    assert folder_size(tmp_path / "missing") == 0
