"""An export is on the disk before it has its name, and an earlier one stays until then."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from studio.export.folder import staged, zipped


def filled(to: Path, text: str) -> None:
    with staged(to) as stage:
        (stage / "model.safetensors").write_text(text)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is behind a handle")
def test_an_export_is_on_the_disk_and_then_in_its_place(tmp_path: Path, on_disk: list[tuple[str, str]]) -> None:
    filled(tmp_path / "out", "new")
    assert on_disk[0] == ("sync", "model.safetensors") and on_disk[1][1].startswith(".out.")
    assert on_disk[2:] == [("rename", "out"), ("sync", tmp_path.name)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what is behind a handle")
def test_a_zip_is_on_the_disk_and_then_in_its_place(tmp_path: Path, on_disk: list[tuple[str, str]]) -> None:
    filled(tmp_path / "out", "new")
    on_disk.clear()
    zipped(tmp_path / "out", tmp_path / "out")
    assert [kind for kind, _ in on_disk] == ["sync", "rename", "sync"]
    assert on_disk[0][1].startswith(".out.") and on_disk[1:] == [("rename", "out.zip"), ("sync", tmp_path.name)]


def test_an_export_takes_the_place_of_an_earlier_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    filled(tmp_path / "out", "old")
    filled(tmp_path / "out", "new")
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "model.safetensors").read_text() == "new"


def test_what_a_killed_export_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    ended = int(done.stdout)
    (tmp_path / f".out.{ended}.new").mkdir()
    (tmp_path / f".out.{ended}.new" / "model.safetensors").write_text("half")
    (tmp_path / f".out.{ended}.zip").write_text("half")
    kept = [f".out.{os.getppid()}.new", f".other.{ended}.new", "out.zip"]
    for name in kept:
        (tmp_path / name).mkdir()
    filled(tmp_path / "out", "new")
    assert {each.name for each in tmp_path.iterdir()} == {"out", *kept}


def test_an_export_that_was_killed_while_it_replaced_another_leaves_one_of_them_if_the_next_one_fails(
    tmp_path: Path,
) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    filled(tmp_path / f".out.{int(done.stdout)}.old", "old")
    with pytest.raises(RuntimeError), staged(tmp_path / "out"):
        raise RuntimeError
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "model.safetensors").read_text() == "old"


def test_an_export_that_can_not_be_put_in_its_place_leaves_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path / "out", "old")
    rename = Path.rename

    def refusing(one: Path, two: Path) -> Path:
        if one.name.endswith(".new"):
            raise PermissionError("no")
        return rename(one, two)

    monkeypatch.setattr(Path, "rename", refusing)
    with pytest.raises(PermissionError):
        filled(tmp_path / "out", "new")
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "model.safetensors").read_text() == "old"
