"""`studio predict` for a whole file: it continues after a kill with the same bytes, and notices what has changed."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.api import RunRequest, Studio
from studio.cli.main import run as main
from studio.schema.errors import StudioError
from studio.schema.predictions import FileRequest
from studio.schema.runs import RunRecord

WORDS = "my order lamp broke parcel late refund please where is the box thanks invoice wrong size =1+1 ünï".split()
ROWS = 2600
"""More than one window."""


pytestmark = pytest.mark.usefixtures("tiny_starters")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    made = Studio(tmp_path_factory.mktemp("file") / "home")
    yield made
    made.close()


@pytest.fixture(scope="module")
def run(studio: Studio) -> RunRecord:
    settings = {"max_steps": 2, "max_length": 32, "batch_size": 4}
    request = RunRequest(dataset="", model="starter-classify", task="classification", name="mood", settings=settings)
    data = studio.datasets.add_sample("review-mood").id
    started = studio.runs.start(request.model_copy(update={"dataset": data}))
    for _ in studio.runs.watch(started.id):
        pass
    return studio.runs.get(started.id)


@pytest.fixture
def source(studio: Studio, run: RunRecord, tmp_path: Path) -> Path:
    column = next(name for name, role in studio.runs.spec(run.id).data.roles.items() if role == "text")
    return rows_file(tmp_path / "rows.csv", column, ROWS)


def rows_file(path: Path, column: str, rows: int) -> Path:
    rng = random.Random(7)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["nr", column])
        writer.writerows([n, " ".join(rng.choices(WORDS, k=rng.randint(0, 6)))] for n in range(1, rows + 1))
    return path


def lines_in(studio: Studio, run: RunRecord) -> int:
    """Predictions that are saved so far."""
    folder = studio.context.workspace.runs.folder(run.id).predictions
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl"))


def test_a_killed_command_continues_and_writes_the_same_bytes_as_one_that_was_not(
    studio: Studio, run: RunRecord, source: Path, tmp_path: Path
) -> None:
    out, command = tmp_path / "out.csv", [sys.executable, "-m", "studio", "--home", str(studio.home.root), "predict"]
    given = [run.id, str(source), "--out", str(out), "--json"]
    process = subprocess.Popen([*command, *given], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not lines_in(studio, run):
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    saved = lines_in(studio, run)
    assert 0 < saved < ROWS and not out.exists()
    datasets = len(studio.datasets.all())

    seen: list[int] = []
    request = FileRequest(run=run.id, data=str(source), out=str(out))
    made = studio.predictions.predict_file(request, lambda done, total, words: seen.append(done))
    assert made.complete and min(seen) >= saved, "rows that were saved are not predicted again"
    assert len(studio.datasets.all()) == datasets, "the file is not imported again"
    resumed = out.read_bytes()

    studio.predictions.predict_file(request.model_copy(update={"restart": True}))
    assert out.read_bytes() == resumed
    with out.open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [row["nr"] for row in written] == [str(n) for n in range(1, ROWS + 1)], "in the order of the file"
    column = list(written[0])[1]
    assert list(written[0]) == ["nr", column, "prediction", "confidence"]
    assert all(bool(row["prediction"]) == bool(row[column].strip()) for row in written)
    assert any(row[column].startswith("'=1+1") for row in written), "a spreadsheet must not compute it"


def test_other_rows_another_model_or_other_options_are_refused_until_a_restart(
    studio: Studio, run: RunRecord, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    source.write_text(source.read_text(encoding="utf-8").replace("lamp", "clock"), encoding="utf-8")
    request = FileRequest(run=run.id, data=str(source), out=str(out))

    def stop(done: int, total: int, words: str) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        studio.predictions.predict_file(request, stop)
    assert studio.predictions.begun(request) is not None

    def refusal(**changes: object) -> StudioError:
        with pytest.raises(StudioError) as caught:
            studio.predictions.predict_file(request.model_copy(update=changes))
        assert caught.value.code == "wrong-state" and "--restart" in str(caught.value.hint)
        return caught.value

    assert "base model" in refusal(base=True).what
    assert "read with other options" in refusal(reading={"delimiter": ";"}).what
    rows = source.read_text(encoding="utf-8")
    source.write_text(rows.replace("parcel", "package"), encoding="utf-8")
    assert "data has changed" in refusal().what
    studio.context.workspace.runs.update(run.id, best_step=99)
    assert "trained further" in refusal().what
    studio.context.workspace.runs.update(run.id, best_step=run.best_step)
    source.write_text(rows, encoding="utf-8")
    home = ["--home", str(studio.home.root)]
    assert main(["predict", run.id, str(source), "--out", str(out), "--base", *home]) == 2
    assert "--restart" in capfd.readouterr().err and not out.exists()

    short = "\n".join(rows.splitlines()[:6]) + "\n"
    source.write_text(short, encoding="utf-8")
    assert main(["predict", run.id, str(source), "--out", str(out), "--restart", "--json", *home]) == 0
    assert json.loads(capfd.readouterr().out)["rows"] == 5
    assert len(out.read_text(encoding="utf-8").splitlines()) == 5
    assert studio.predictions.begun(request) is None
