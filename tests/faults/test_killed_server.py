"""The server killed while it does what a button asks: the next one finds a state with a way on."""

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from worker_runs import add_run, log_of, start_worker, steps_of, wait_for

from studio.api import Studio
from studio.schema.dataset import DatasetRecord
from studio.store import Home

from .conftest import ALL, SETTINGS, Told
from .killed import SERVER
from .table import KILLED_SERVER

SAMPLE = ("start: listed, not in the queue", "resume: said, not in the queue", "import: half taken out")
SCRIPT = str(Path(__file__).parent / "killed.py")
LONG = {**SETTINGS, "epochs": 100, "eval_steps": 20, "test_prompts": ()}


def killed_at(moment: str, home: Home, *given: str) -> None:
    """Another server does an act, and is killed in the middle of it."""
    done = subprocess.run(
        [sys.executable, SCRIPT, "server", moment, str(home.root), *given], capture_output=True, timeout=120,
        env={**os.environ, "HF_HUB_OFFLINE": "1"}, start_new_session=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done


def long_ago(home: Home) -> None:
    """As if all this had been some time ago, so that nobody waits for a worker that is just being started."""
    with home.queue.db.write() as connection:
        connection.execute("UPDATE entries SET asked = '2020-01-01T00:00:00.000Z' WHERE pid IS NULL")
    with home.workspace().db.write() as connection:
        connection.execute("UPDATE runs SET created = '2020-01-01T00:00:00.000Z'")


def ended(studio: Studio, run: str) -> Callable[[], bool]:
    return lambda: studio.run(run).status not in ("queued", "starting", "training", "stopping")


def at_work(home: Home, data: DatasetRecord, llama: str) -> "tuple[str, subprocess.Popen[bytes]]":
    run = add_run(home, data, llama, **LONG)
    worker = start_worker(home, run)
    wait_for(lambda: steps_of(home, run))
    return run, worker


def lost(home: Home, data: DatasetRecord, llama: str) -> str:
    """A run whose worker is gone."""
    run, worker = at_work(home, data, llama)
    worker.kill()
    worker.wait()
    return run


def finished(studio: Studio, home: Home, data: DatasetRecord, llama: str) -> str:
    run = add_run(home, data, llama, max_length=64, max_steps=3, eval_rows=2)
    assert start_worker(home, run).wait(120) == 0, log_of(home, run)
    return run


@pytest.mark.parametrize("moment", SERVER if ALL else SAMPLE)
def test_a_server_killed_at_this_moment_leaves_a_state_with_a_way_on(
    moment: str, home: Home, data: DatasetRecord, llama: str, told: Told, tmp_path: Path
) -> None:
    studio = Studio(home)
    try:
        act = SERVER[moment][0]
        told(KILLED_SERVER, moment, ACTS[act](moment, studio, home, data, llama))
        assert not [each for each in studio.runs() if each.status in ("queued", "starting", "stopping")]
        for run in studio.runs():
            steps = sorted({event.step for event in steps_of(home, run.id)})
            assert steps == list(range(1, len(steps) + 1)), "the curve has no hole"
    finally:
        studio.close()


def start(moment: str, studio: Studio, home: Home, data: DatasetRecord, llama: str) -> str:
    killed_at(moment, home, data.id, llama)
    long_ago(home)
    settings = {"max_length": 64, "max_steps": 3, "eval_rows": 2}
    again = studio.start(data.id, llama, "chat", settings=settings, once="a page")
    wait_for(ended(studio, again.id))
    assert [(each.id, each.status) for each in studio.runs()] == [(again.id, "finished")]
    assert [event.step for event in steps_of(home, again.id)] == [1, 2, 3], "it was trained once"
    return "Start pressed again: one run, trained once"


def stop(moment: str, studio: Studio, home: Home, data: DatasetRecord, llama: str) -> str:
    run, worker = at_work(home, data, llama)
    killed_at(moment, home, run)
    assert worker.wait(60) == 0, log_of(home, run)
    assert (studio.run(run).status, studio.run(run).has_result) == ("stopped", True)
    return "the worker stopped and kept the best"


def pause(moment: str, studio: Studio, home: Home, data: DatasetRecord, llama: str) -> str:
    run, worker = at_work(home, data, llama)
    killed_at(moment, home, run)
    assert worker.wait(60) == 0, log_of(home, run)
    assert studio.run(run).status == "paused"
    return "the worker paused"


def resume(moment: str, studio: Studio, home: Home, data: DatasetRecord, llama: str) -> str:
    run = lost(home, data, llama)
    assert studio.run(run).status == "interrupted"
    killed_at(moment, home, run)
    long_ago(home)
    if studio.run(run).status == "interrupted":
        studio.resume(run)
    before = max(event.step for event in steps_of(home, run))
    studio.runs()
    wait_for(lambda: max(event.step for event in steps_of(home, run)) > before)
    studio.stop(run, "discard")
    wait_for(ended(studio, run))
    return "the run went on"


def note(moment: str, studio: Studio, home: Home, data: DatasetRecord, llama: str) -> str:
    run = finished(studio, home, data, llama)
    killed_at(moment, home, run)
    assert studio.run(run).note == "a note" and studio.run(run).tags == ("x",)
    return "the note was kept"


def delete(moment: str, studio: Studio, home: Home, data: DatasetRecord, llama: str) -> str:
    run = finished(studio, home, data, llama)
    killed_at(moment, home, run)
    left = [each.id for each in studio.runs()]
    if left:
        studio.delete_run(run)
    assert studio.runs() == [], "what was deleted does not come back"
    return "still listed, and deleted at once when asked again" if left else "deleted, and it did not come back"


def export(moment: str, studio: Studio, home: Home, data: DatasetRecord, llama: str) -> str:
    run, out = finished(studio, home, data, llama), home.root / "taken.zip"
    killed_at(moment, home, run, str(out))
    assert not out.exists(), "no half file is taken for a whole one"
    with zipfile.ZipFile(studio.pack_run(run, out)) as archive:
        assert archive.testzip() is None
    return "no half file; made when asked again"


def take_in(moment: str, studio: Studio, home: Home, data: DatasetRecord, llama: str) -> str:
    run = finished(studio, home, data, llama)
    file = studio.pack_run(run, home.root / "taken.zip")
    studio.delete_run(run)
    killed_at(moment, home, str(file))
    found = studio.runs()
    assert [each.id for each in found] in ([], [run])
    if not found:
        assert studio.unpack_run(file).id == run
    assert studio.run(run).has_result and studio.events(run, kinds=("step",))
    return "whole in its place, and listed by the next one" if found else "nothing of it; taken in when asked again"


def look(moment: str, studio: Studio, home: Home, data: DatasetRecord, llama: str) -> str:
    run = lost(home, data, llama)
    killed_at(moment, home)
    assert studio.run(run).status == "interrupted"
    states = [each.event.status for each in studio.events(run, kinds=("state",))]  # type: ignore[union-attr]
    assert states.count("interrupted") == 1
    return "said once, by the next one"


ACTS = {
    "start": start, "stop": stop, "pause": pause, "resume": resume, "note": note, "delete": delete, "export": export,
    "import": take_in, "look": look,
}  # fmt: skip
