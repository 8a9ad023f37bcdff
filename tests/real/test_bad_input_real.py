"""Bad input that takes a machine to show: a large file, a full disk, too little memory, a run while one is at work.

The model is tiny and random, the worker and the command line are the real ones.
"""

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from made_runs import tiny_llama
from worker_runs import add_run, add_sample, log_of, record_of, start_worker, steps_of, wait_for

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.schema.requests import RunRequest
from studio.services.runs.run_files import resumable_step
from studio.store import Home

STUDIO = [sys.executable, "-m", "studio"]
PEAK = (
    "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); sys.exit(done.returncode)"
)
"""Runs a command, and writes last how many kB it and its processes held at most. They are not forked from a large one,
whose memory would count as theirs."""
LONG: dict[str, Any] = {"epochs": 60, "eval_steps": 5, "early_stopping_patience": 0, "max_length": 64}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_llama(folder)
    return str(folder)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def call(
    home: Path, *arguments: str | Path, limit: Callable[[], None] | None = None
) -> "subprocess.CompletedProcess[str]":
    """The command line as a person has it; no traceback is ever shown."""
    environment = {**os.environ, "STUDIO_HOME": str(home), "HF_HUB_OFFLINE": "1", "TERM": "dumb"}
    done = subprocess.run(
        [*STUDIO, *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300, preexec_fn=limit
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def said(status: int, done: "subprocess.CompletedProcess[str]", *words: str) -> None:
    assert done.returncode == status, done
    for word in words:
        assert word in done.stderr, done.stderr
    assert "  Hint: " in done.stderr


# --- a large file ---


def test_80_mb_of_csv_are_read_checked_and_shown_in_little_memory(tmp_path: Path) -> None:
    rows, path = 10_000, tmp_path / "large.csv"
    with path.open("w") as out:
        out.write("question,answer\n")
        for n in range(rows):
            out.write(f'"Where is parcel number {n}?","{f"Row {n} of a long story about parcels and lamps. " * 165}"\n')
    assert path.stat().st_size > 80e6
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *STUDIO, "--home", str(tmp_path / "home"), "check", str(path), "--json"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["usable"] == rows
    peak = int(done.stderr.split()[-1])
    assert peak < 450_000, f"{peak / 1000:,.0f} MB; a file of a few kB takes 270"
    studio = Studio(tmp_path / "home")
    try:
        page = studio.datasets.rows(studio.datasets.all()[0].id, rows - 5, 12)
        assert [number for number, _ in page.rows] == list(range(rows - 5, rows + 1))
    finally:
        studio.close()


# --- a full disk ---


def no_file_beyond(size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_rows_that_do_not_fit_the_disk_are_refused_and_nothing_half_is_left(tmp_path: Path) -> None:
    import random

    home, path, random_ = tmp_path / "home", tmp_path / "rows.csv", random.Random(1)
    kept = tmp_path / "kept.csv"
    kept.write_text("question,answer\n" + "".join(f"How is {n}?,It is {n}.\n" for n in range(30)))
    assert call(home, "check", kept).returncode == 0
    path.write_text("question,answer\n" + "".join(f"{random_.random()},{random_.random()}\n" for _ in range(40_000)))
    said(1, call(home, "check", path, limit=no_file_beyond(400_000)), "disk became full", "No earlier data is lost")
    folder = Home(home).workspace().datasets
    assert [record.name for record in folder.all()] == ["kept.csv"]
    assert [each.name for each in folder.root.iterdir()] == [folder.all()[0].id]
    assert call(home, "check", path).returncode == 0, "with room again it works"


@pytest.fixture
def small_disk(disk_of: Callable[[int], Path]) -> Path:
    return disk_of(100)


def fill(place: Path) -> Path:
    """Leave no room at all on a disk; removing the file gives it back."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(4096))
        except OSError:
            return filler


def test_a_disk_that_is_full_is_said_by_everything_that_writes_and_nothing_is_lost(small_disk: Path) -> None:
    studio = Studio(small_disk / "home")
    try:
        record = studio.datasets.add_text("text\n" + "".join(f"This is number {n}\n" for n in range(40)))
        studio.labels.set_names(record.id, ["good", "bad"])
        studio.labels.give(record.id, 1, "good")
        studio.reconcile()
        filler = fill(small_disk)
        for write in (
            lambda: [studio.labels.give(record.id, row, "bad") for row in range(2, 41)],
            lambda: [studio.drafts.put("x", "y" * 20_000) for _ in range(20)],
            lambda: studio.datasets.add_text("text,label\na,b"),
            lambda: studio.datasets.add_sample("support-tone"),
            lambda: studio.models.set_hub_token("hf_secret"),
        ):
            with pytest.raises(StudioError) as caught:
                write()
            assert caught.value.code == "disk-full" and caught.value.hint
        assert studio.labels.state(record.id).done >= 1, "what is there can still be read"
        filler.unlink()
        assert studio.labels.give(record.id, 40, "bad").done >= 2
        assert [each.id for each in studio.datasets.all()] == [record.id]
    finally:
        studio.close()


def test_a_run_whose_disk_becomes_full_keeps_its_last_checkpoint_and_goes_on_when_there_is_room(
    small_disk: Path, llama: str
) -> None:
    home = Home(small_disk / "home")
    run = add_run(home, add_sample(home, "support-tone", 80), llama, **LONG)
    worker = start_worker(home, run)
    folder = home.workspace().runs.folder(run)
    wait_for(lambda: list(folder.checkpoints.glob("checkpoint-*/complete.json")))
    filler = fill(small_disk)
    assert worker.wait(120) == 1
    assert list(folder.checkpoints.glob("checkpoint-*/complete.json"))
    filler.unlink()
    home.workspace().runs.reconcile(resumable_step)
    record = record_of(home, run)
    assert record.status in ("failed", "interrupted")
    assert re.search(r"is saved|checkpoint is safe", record.reason) and "Traceback" not in record.reason
    seen = max(event.step for event in steps_of(home, run))
    home.workspace().runs.set_status(run, "queued")
    home.queue.enqueue("default", run)
    again = start_worker(home, run)
    wait_for(lambda: max(event.step for event in steps_of(home, run)) > seen + 5)
    home.workspace().runs.request_stop(run, "keep")
    assert again.wait(60) == 0
    steps = {event.step for event in steps_of(home, run)}
    assert steps == set(range(1, max(steps) + 1)), "the curve has no hole"


# --- too little memory ---


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets one narrow a process that runs")
def test_a_worker_that_runs_out_of_memory_says_so_and_the_next_run_has_its_turn(home: Home, llama: str) -> None:
    data = add_sample(home, "support-tone", 80)
    run = add_run(home, data, llama, **LONG, batch_size=1)  # with more it would be tried once more at half
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) > 7)
    process = psutil.Process(worker.pid)
    room = process.memory_info().vms
    process.rlimit(psutil.RLIMIT_AS, (room, room))
    assert worker.wait(120) != 0
    home.workspace().runs.reconcile()
    record = record_of(home, run)
    assert record.status in ("failed", "interrupted"), record
    assert "memory" in record.reason and "Traceback" not in record.reason
    assert home.queue.entries() == []
    assert list(home.workspace().runs.folder(run).checkpoints.glob("checkpoint-*/complete.json"))
    after = add_run(home, data, llama, max_length=64, max_steps=2, eval_rows=2)
    assert start_worker(home, after).wait(120) == 0, log_of(home, after)


# --- a second run ---


def test_a_second_run_is_taken_waits_for_the_first_and_then_has_its_turn(home: Home, llama: str) -> None:
    studio = Studio(home)
    try:
        data = studio.datasets.add_sample("support-tone").id
        settings = {"max_length": 64, "epochs": 100, "early_stopping_patience": 0}
        first = studio.runs.start(RunRequest(dataset=data, model=llama, task="chat", settings=settings))
        wait_for(lambda: studio.runs.get(first.id).step > 2, studio=studio)
        few = {"max_length": 64, "max_steps": 2, "eval_rows": 2}
        second = call(home.root, "train", data, "--model", llama, "--max-length", "64", "--max-steps", "2", "--detach")
        assert second.returncode == 0
        waiting = second.stdout.strip().splitlines()[-1]
        third = studio.runs.start(RunRequest(dataset=data, model=llama, task="chat", settings=few))
        assert studio.runs.get(waiting).status == studio.runs.get(third.id).status == "queued"
        assert [studio.runs.progress(run).position for run in (waiting, third.id)] == [1, 2]
        assert "1 run ahead of it" in studio.runs.progress(waiting).sentence
        studio.runs.stop(first.id, "discard")
        wait_for(lambda: studio.runs.get(third.id).status == "finished", studio=studio)
        assert studio.runs.get(third.id).reason.startswith("The run has reached its limit of 2 steps.")
        assert studio.runs.get(waiting).status == "finished" and studio.runs.get(first.id).status == "stopped"
    finally:
        studio.close()
