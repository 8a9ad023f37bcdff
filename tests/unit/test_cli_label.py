"""`studio label …`: everything that labelling on the page can do, from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from studio.cli.main import run

TEXTS = "text\n" + "".join(f"message {n} about {'refunds' if n % 2 else 'parcels'}\n" for n in range(1, 13))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    file = tmp_path / "messages.csv"
    file.write_text(TEXTS)
    assert run(["data", "add", str(file)]) == 0
    assert run(["label", "names", "last", "refund", "parcel"]) == 0
    capfd.readouterr()
    return tmp_path


def told(capfd: pytest.CaptureFixture[str], *words: str) -> Any:
    """What a command prints with --json."""
    assert run(["label", *words, "--json"]) == 0
    return json.loads(capfd.readouterr().out)


def test_rows_are_labelled_put_aside_and_taken_back(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert told(capfd, "put", "last", "1", "refund")["row"] == 2
    assert told(capfd, "put", "last", "2", "--unsure")["unsure"] == 1
    assert told(capfd, "put", "last", "3", "--skip")["row"] == 4
    now = told(capfd, "undo", "last")
    assert (now["row"], now["done"], now["unsure"]) == (3, 1, 1)
    page = told(capfd, "list", "last", "--show", "unsure")
    assert [each["row"] for each in page["rows"]] == [2]


@pytest.mark.parametrize("words", [["1"], ["1", "refund", "--skip"], ["1", "--skip", "--unsure"], ["99", "refund"]])
def test_what_says_nothing_or_two_things_of_a_row_is_refused(
    home: Path, capfd: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert run(["label", "put", "last", *words]) == 2
    assert "Expected: " in capfd.readouterr().err


@pytest.mark.slow
def test_labels_are_added_renamed_and_merged_after_asking(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told(capfd, "add", "last", "package")
    told(capfd, "put", "last", "2", "package")
    assert told(capfd, "rename", "last", "refund", "money") == {"rows": 0, "label": "money"}
    assert run(["label", "rename", "last", "package", "parcel"]) == 2
    assert "Merge package into parcel" in capfd.readouterr().err
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert run(["label", "merge", "last", "package", "parcel"]) == 2
    assert told(capfd, "show", "last")["labels"] == ["money", "parcel", "package"]
    assert told(capfd, "merge", "last", "package", "parcel", "--yes") == {"rows": 1, "label": "parcel"}
    told(capfd, "remove", "last", "money")
    assert told(capfd, "show", "last")["counts"] == {"parcel": 1}


@pytest.mark.slow
def test_two_labellers_agree_in_words_and_numbers(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for row in range(1, 9):
        told(capfd, "put", "last", str(row), "refund" if row % 2 else "parcel", "--labeller", "Ann")
        told(capfd, "put", "last", str(row), "refund" if row < 5 else "parcel", "--labeller", "Ben")
    (found,) = told(capfd, "agreement", "last")
    assert (found["first"], found["second"], found["rows"], found["same"]) == ("Ann", "Ben", 8, 4)
    assert found["kappa"] == pytest.approx(0.0)
    assert run(["label", "agreement", "last"]) == 0
    assert "4 of 8 rows have the same label" in capfd.readouterr().out


@pytest.mark.slow
def test_labels_go_out_and_come_in_and_become_a_version(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for row in range(1, 11):
        told(capfd, "put", "last", str(row), "refund" if row % 2 else "parcel")
    out = home / "labels.csv"
    assert told(capfd, "export", "last", "--to", str(out)) == {"rows": 10, "to": str(out)}
    assert out.read_text().splitlines()[1].startswith("1,message 1 about refunds,refund,")
    assert told(capfd, "import", "last", str(out))["same"] == 10
    record = told(capfd, "use", "last")
    assert record["version"] == 2 and record["spec"]["task"] == "classification"
    assert run(["label", "use", "last"]) == 2
    assert "no new labels to save" in capfd.readouterr().err


@pytest.mark.slow
def test_what_rows_are_given_and_from_which_columns_can_be_said(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pairs = home / "pairs.csv"
    pairs.write_text("ask,one,other\n" + "".join(f"Ask {n}?,bad {n},good {n}\n" for n in range(1, 10)))
    assert run(["data", "add", str(pairs)]) == 0
    assert run(["label", "as", "pairs.csv", "choice"]) == 2
    capfd.readouterr()
    columns = ["--column", "prompt=ask", "--column", "first=one", "--column", "second=other"]
    assert told(capfd, "as", "pairs.csv", "choice", *columns)["work"] == "choice"
    for row in range(1, 10):
        told(capfd, "put", "pairs.csv", str(row), "second")
    assert told(capfd, "use", "pairs.csv")["columns"] == ["ask", "one", "other", "chosen", "rejected"]
    told(capfd, "as", "messages.csv", "reply")
    assert told(capfd, "put", "messages.csv", "1", "On its way.")["done"] == 1


def test_suggestions_wait_for_enough_labels(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["label", "suggest", "last"]) == 2
    assert "12 to go" in capfd.readouterr().err
