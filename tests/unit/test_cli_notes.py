"""What a person may not expect of how rows were read: said by the command line, in its JSON and on the page."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.cli.main import run
from studio.ui.tabs.data import import_data, rows
from studio.ui.visitors.session import Sessions
from tests.workbooks import workbook

TWICE = "question,question,answer\n" + "".join(f"How is {n}?,Why {n}?,It is {n}.\n" for n in range(30))
ACCENTS = "question,answer\n" + "".join(f"Où est le café {n}?,À côté du musée {n}.\n" for n in range(30))
LINES = [["question", "answer"], *([f"How is {n}?", f"It is {n}."] for n in range(30))]


@dataclass(frozen=True)
class Strange:
    """A file, and what is said of how it was read."""

    make: Callable[[Path], Path]
    note: str


def twice(folder: Path) -> Path:
    path = folder / "twice.csv"
    path.write_text(TWICE)
    return path


def accents(folder: Path) -> Path:
    path = folder / "accents.csv"
    path.write_bytes(ACCENTS.encode("cp1252"))
    return path


def sheets(folder: Path) -> Path:
    return workbook(folder / "book.xlsx", Rows=LINES, Others=LINES[:20])


STRANGE = {
    "two columns of one name": Strange(
        twice, "Two columns are called question. The later one is now called question (2)."
    ),
    "not UTF-8": Strange(accents, "Read as cp1252, because it is not UTF-8. Check that accents are correct."),
    "another sheet": Strange(sheets, "Read from the sheet Rows. Not read: Others."),
}
each_kind = pytest.mark.parametrize("strange", STRANGE.values(), ids=list(STRANGE))


@pytest.fixture
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A command: its status, and what it said on stdout and on stderr."""
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))

    def calling(*arguments: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        status = run([str(each) for each in arguments])
        sys.stdout.flush()
        said = capfd.readouterr()
        return status, said.out, said.err

    return calling


def asked(path: Path) -> list[str]:
    """The file as DATA; of a workbook its sheet is named, which a command must be told."""
    return [str(path), *(["--sheet", "Rows"] if path.suffix == ".xlsx" else [])]


@each_kind
def test_check_says_how_a_file_was_read_on_stderr_and_in_its_document(
    call: Callable[..., Any], tmp_path: Path, strange: Strange
) -> None:
    path = strange.make(tmp_path)
    status, out, err = call("check", *asked(path))
    assert status == 0 and f"{path.name}: {strange.note}" in err.splitlines()
    assert "30 of 30 rows can be used" in out
    status, out, err = call("check", *asked(path), "--json")
    assert status == 0 and json.loads(out)["notes"] == [strange.note]
    assert f"{path.name}: {strange.note}" in err.splitlines()


def test_of_a_usual_file_nothing_is_said(call: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "usual.csv"
    path.write_text(TWICE.replace("question,question", "question,why"))
    status, out, err = call("check", path, "--json")
    assert status == 0 and json.loads(out)["notes"] == [] and not err


def test_train_says_how_its_file_and_its_validation_file_were_read(call: Callable[..., Any], tmp_path: Path) -> None:
    status, out, err = call(
        "train", accents(tmp_path), "--validation", twice(tmp_path), "--model", str(tmp_path), "--detach"
    )
    assert status == 2 and not out, "this folder is no model"
    assert f"accents.csv: {STRANGE['not UTF-8'].note}" in err.splitlines()
    assert f"twice.csv: {STRANGE['two columns of one name'].note}" in err.splitlines()


def test_the_note_stays_with_the_dataset_and_with_what_is_made_of_it(call: Callable[..., Any], tmp_path: Path) -> None:
    path = twice(tmp_path)
    path.write_text(TWICE + TWICE.splitlines()[-1] + "\n")
    status, out, err = call("data", "add", path)
    assert status == 0 and out.count(STRANGE["two columns of one name"].note) == 1 and not err, "it is said once"
    dataset = out.splitlines()[-1]
    assert call("data", "fix", dataset, "duplicate")[0] == 0
    status, out, _ = call("check", dataset, "--json")
    assert json.loads(out)["rows"] == 30
    assert json.loads(out)["notes"] == [STRANGE["two columns of one name"].note]


def test_the_note_is_another_one_when_the_file_is_read_another_way(call: Callable[..., Any], tmp_path: Path) -> None:
    _, out, _ = call("data", "add", accents(tmp_path), "--json")
    dataset = json.loads(out)["id"]
    assert json.loads(out)["notes"] == [STRANGE["not UTF-8"].note]
    _, out, err = call("check", dataset, "--encoding", "iso-8859-15", "--json")
    assert STRANGE["not UTF-8"].note not in json.loads(out)["notes"] and "cp1252" not in err


@each_kind
def test_the_page_says_it_with_the_version(tmp_path: Path, strange: Strange) -> None:
    sessions = Sessions(tmp_path / "home")
    visit = sessions.visit({}, "page", {})
    record = visit.studio.datasets.add_file(strange.make(tmp_path))
    import_data.open_dataset(visit, record)
    page = str(rows.drawn(sessions.visit({}, "page", {}))[0])
    sessions.root.close()
    assert f"version 1 · As imported. {strange.note.rstrip('.')}" in page


def test_in_python_the_record_has_it_from_several_files_too(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    twice(folder)
    accents(folder)
    studio = Studio(tmp_path / "home")
    record = studio.datasets.open(str(folder))
    studio.close()
    assert any(STRANGE["not UTF-8"].note in note and note.startswith("accents.csv") for note in record.notes)
    assert record.note == " ".join(["As imported.", *record.notes])
