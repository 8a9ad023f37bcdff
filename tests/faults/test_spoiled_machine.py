"""Failures from outside a run: a damaged database, a clock, a lost model, a restart."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from made_runs import tiny_llama
from worker_runs import add_run, log_of, record_of, start_worker, steps_of, wait_for

from studio.api import Studio
from studio.machine.processes import identity
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.report import ChatSettings
from studio.store import Home

from .conftest import SETTINGS, Told, go_on, same

SET_BACK = """
import datetime, sys
import studio.store.db as db
real = datetime.datetime
class Back(real):
    "A clock that is set back by an hour at the fifth step."
    hours = 0
    @classmethod
    def now(cls, tz=None):
        return real.now(tz) - datetime.timedelta(hours=cls.hours)
db.datetime = Back
from studio.store import Home
from studio.store.events import EventStore
from studio.worker.run import Worker
append = EventStore.append
def told(self, run, event):
    if event.kind == "step" and event.step == 5:
        Back.hours = 1
    return append(self, run, event)
EventStore.append = told
sys.exit(Worker(Home(sys.argv[1]), "default", sys.argv[2]).work())
"""


def test_a_damaged_database(
    home: Home, data: DatasetRecord, llama: str, unharmed: dict[int, float], told: Told
) -> None:
    run = add_run(home, data, llama, **SETTINGS)
    worker = start_worker(home, run)
    folder = home.workspace().runs.folder(run)
    wait_for(lambda: list(folder.checkpoints.glob("checkpoint-*/complete.json")) and len(steps_of(home, run)) >= 7)
    os.kill(worker.pid, signal.SIGSTOP)
    path = home.workspace().root / "studio.db"
    home.workspace().db.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.write(b"\xa5" * path.stat().st_size)
    os.kill(worker.pid, signal.SIGCONT)
    assert worker.wait(120) == 0, log_of(home, run)
    studio = Studio(Home(home.root))
    try:
        record = studio.runs.get(run)
        assert record.status == "finished", record
        assert [each.id for each in studio.datasets.all()] == [data.id]
        assert "The damaged file is studio.db" in studio.storage.recovery_notices()[0] and path.exists()
        steps = {event.step for event in steps_of(studio.home, run)}
        assert steps >= set(range(1, 6)) and max(steps) == 18
        assert record.metrics["eval_loss"] == pytest.approx(unharmed[0], abs=1e-5)
    finally:
        studio.close()
    told(
        "the whole database overwritten",
        "a step",
        "damaged file kept and reported; the run finished; run and rows listed again from their folders, the curve "
        f"but for {18 - len(steps)} of 18 steps since the last checkpoint",
    )


def test_a_clock_that_is_set_back(
    home: Home, data: DatasetRecord, llama: str, unharmed: dict[int, float], told: Told
) -> None:
    run = add_run(home, data, llama, **SETTINGS)
    with home.workspace().runs.folder(run).log.open("ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-c", SET_BACK, str(home.root), run],
            stdout=log,
            stderr=log,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        wait_for(lambda: len(steps_of(home, run)) >= 6 or worker.poll() is not None)
        assert home.workspace().runs.reconcile() == [], "a living worker is not taken for a hanging one"
        assert worker.wait(120) == 0, log_of(home, run)
    same(home, run, unharmed)
    ids = [each.id for each in home.workspace().events.after(run)]
    assert ids == sorted(ids) and record_of(home, run).status == "finished"
    later = add_run(home, data, llama, **SETTINGS)
    assert home.workspace().runs.get("last").id == later
    told("the clock set back by an hour", "step 5", "finished; events in their order, the same losses")


def test_a_model_folder_deleted(home: Home, data: DatasetRecord, tmp_path: Path, studio: Studio, told: Told) -> None:
    import shutil

    model = tmp_path / "own model"
    tiny_llama(model)
    run = add_run(home, data, str(model), **SETTINGS)
    worker = start_worker(home, run)
    wait_for(lambda: steps_of(home, run))
    shutil.rmtree(model)
    assert worker.wait(120) == 0, log_of(home, run)
    assert record_of(home, run).status == "finished" and record_of(home, run).has_result
    with pytest.raises(StudioError) as refused:
        list(studio.chat.stream(run, [{"role": "user", "content": "Hello"}], ChatSettings()))
    assert refused.value.code in ("no-such-model", "broken-model") and refused.value.valid
    told("the model's folder deleted", "a step", f"the run finished; chat says “{refused.value.what}”")


def test_a_restart_of_the_machine(
    home: Home, data: DatasetRecord, llama: str, studio: Studio, unharmed: dict[int, float], told: Told
) -> None:
    run = add_run(home, data, llama, **SETTINGS)
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) >= 6)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    stranger = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    home.workspace().runs.update(run, pid=stranger.pid)  # another process has the worker's number now
    with home.queue.db.write() as connection:
        connection.execute("UPDATE entries SET pid = ?", (stranger.pid,))
    assert identity(stranger.pid)
    studio.reconcile()
    assert studio.runs.get(run).status == "interrupted"
    go_on(studio, run)
    assert stranger.poll() is None, "a stranger is never taken for the worker, and never signalled"
    stranger.communicate()
    same(home, run, unharmed)
    told("the machine restarted, the process number reused", "a step", "interrupted, resumed, the same losses")


def test_the_description_survives_a_reader_and_a_writer_at_once(home: Home, data: DatasetRecord, llama: str) -> None:
    """Whoever reads run.json while it is written finds a whole one."""
    import json

    run = add_run(home, data, llama, **SETTINGS)
    runs, broken, over = home.workspace().runs, [], threading.Event()
    runs.describe(run)

    def read() -> None:
        while not over.is_set():
            try:
                json.loads(runs.folder(run).record.read_text())
            except ValueError as error:
                broken.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        runs.change(run, note=f"{number} " * 500)
    over.set()
    reader.join()
    assert not broken
