"""The server killed while it does what a button asks: the next one finds a state with a way on."""

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from worker_runs import add_run, add_sample, log_of, start_worker, steps_of, wait_for

from studio.api import Studio
from studio.schema.dataset import DatasetRecord
from studio.schema.events import StoredEvent
from studio.schema.requests import RunRequest
from studio.store import Home
from tests.forked import ROOT

from .conftest import ALL, SETTINGS, Told, go_on, halt, same
from .killed import SERVER
from .table import KILLED_SERVER

SAMPLE = ("start: in the database, not in the queue", "resume: event saved, not in the queue", "import: half extracted")
SHORT = {"max_length": 64, "max_steps": 3, "eval_rows": 2}


def killed_at(moment: str, home: Home, *given: str) -> None:
    """Another server does an act, and is killed in the middle of it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.killed", "server", moment, str(home.root), *given],
        cwd=ROOT,
        capture_output=True,
        timeout=120,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        start_new_session=True,
    )
    assert done.returncode == -signal.SIGKILL, done


def long_ago(home: Home) -> None:
    """As if all this had been some time ago, so that nobody waits for a worker that is just being started."""
    with home.queue.db.write() as connection:
        connection.execute("UPDATE entries SET called = '' WHERE pid IS NULL")
    with home.workspace().db.write() as connection:
        connection.execute("UPDATE runs SET created = '2020-01-01T00:00:00.000Z'")


def ended(studio: Studio, run: str) -> Callable[[], bool]:
    return lambda: studio.runs.get(run).status not in ("queued", "starting", "training", "stopping")


def at_work(home: Home, data: DatasetRecord, llama: str) -> tuple[str, "subprocess.Popen[bytes]"]:
    """A run in the middle of its steps; its worker stands still, since it would be through before the server is up."""
    run = add_run(home, data, llama, **SETTINGS)
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) >= 6)
    halt(home, worker)
    assert len(steps_of(home, run)) < 16, "it is not nearly through"
    return run, worker


def lost(home: Home, data: DatasetRecord, llama: str) -> str:
    """A run whose worker is gone."""
    run, worker = at_work(home, data, llama)
    worker.kill()
    worker.wait()
    return run


def finished(home: Home, data: DatasetRecord, llama: str) -> str:
    run = add_run(home, data, llama, max_length=64, max_steps=3, eval_rows=2)
    assert start_worker(home, run).wait(120) == 0, log_of(home, run)
    return run


def kept(studio: Studio, run: str, shown: list[StoredEvent]) -> str:
    """In words, that each event which a page had shown is there as it was."""
    assert shown and studio.runs.events(run)[: len(shown)] == shown, "an event was shown and lost"
    return f"{len(shown)} events, 0 lost"


@pytest.fixture(scope="session")
def pressed(tmp_path_factory: pytest.TempPathFactory, llama: str) -> list[float]:
    """The losses of the run of Start without a failure."""
    home = Home(tmp_path_factory.mktemp("pressed"))
    studio = Studio(home.root)
    run = studio.runs.start(
        RunRequest(dataset=add_sample(home, "support-tone", 40).id, model=llama, task="chat", settings=SHORT)
    ).id
    wait_for(ended(studio, run), studio=studio)
    losses = [event.loss for event in steps_of(home, run)]
    studio.close()
    return losses


@dataclass
class Scene:
    """All that an act is played with."""

    moment: str
    studio: Studio
    home: Home
    data: DatasetRecord
    llama: str
    unharmed: dict[int, float]
    pressed: list[float]


@pytest.mark.parametrize("moment", SERVER if ALL else SAMPLE)
def test_a_server_killed_at_this_moment_leaves_a_state_with_a_way_on(
    moment: str,
    home: Home,
    data: DatasetRecord,
    llama: str,
    told: Told,
    unharmed: dict[int, float],
    pressed: list[float],
) -> None:
    studio = Studio(home.root)
    try:
        act = SERVER[moment][0]
        told(KILLED_SERVER, moment, ACTS[act](Scene(moment, studio, home, data, llama, unharmed, pressed)))
        studio.reconcile()
        assert not [each for each in studio.runs.all() if each.status in ("queued", "starting", "stopping")]
    finally:
        studio.close()


def start(at: Scene) -> str:
    killed_at(at.moment, at.home, at.data.id, at.llama)
    long_ago(at.home)
    again = at.studio.runs.start(
        RunRequest(dataset=at.data.id, model=at.llama, task="chat", settings=SHORT), once="a page"
    )
    wait_for(ended(at.studio, again.id), studio=at.studio)
    assert [(each.id, each.status) for each in at.studio.runs.all()] == [(again.id, "finished")]
    steps = steps_of(at.home, again.id)
    assert [event.step for event in steps] == [1, 2, 3], "it was trained once"
    assert [event.loss for event in steps] == pytest.approx(at.pressed, abs=1e-5)
    return "after Start again: one run, trained once, the same losses"


def stop(at: Scene) -> str:
    run, worker = at_work(at.home, at.data, at.llama)
    shown = at.studio.runs.events(run)
    killed_at(at.moment, at.home, run)
    worker.send_signal(signal.SIGCONT)
    assert worker.wait(60) == 0, log_of(at.home, run)
    assert (at.studio.runs.get(run).status, at.studio.runs.get(run).has_result) == ("stopped", True)
    return f"the worker stopped, best checkpoint kept; {on_to_the_end(at, run, shown)}"


def pause(at: Scene) -> str:
    run, worker = at_work(at.home, at.data, at.llama)
    shown = at.studio.runs.events(run)
    killed_at(at.moment, at.home, run)
    worker.send_signal(signal.SIGCONT)
    assert worker.wait(60) == 0, log_of(at.home, run)
    assert at.studio.runs.get(run).status == "paused"
    return f"the worker paused; {on_to_the_end(at, run, shown)}"


def resume(at: Scene) -> str:
    run = lost(at.home, at.data, at.llama)
    at.studio.reconcile()
    assert at.studio.runs.get(run).status == "interrupted"
    shown = at.studio.runs.events(run)
    killed_at(at.moment, at.home, run)
    long_ago(at.home)
    at.studio.reconcile()
    if at.studio.runs.get(run).status == "interrupted":
        at.studio.runs.resume(run)
    wait_for(ended(at.studio, run), studio=at.studio)
    assert at.studio.runs.get(run).status == "finished", at.studio.runs.get(run)
    same(at.home, run, at.unharmed)
    assert at.studio.runs.get(run).metrics["eval_loss"] == pytest.approx(at.unharmed[0], abs=1e-5)
    return f"the run continued; {kept(at.studio, run, shown)}; the same losses"


def on_to_the_end(at: Scene, run: str, shown: list[StoredEvent]) -> str:
    """Resumed, it goes on as if nothing had been."""
    go_on(at.studio, run)
    same(at.home, run, at.unharmed)
    return f"{kept(at.studio, run, shown)}; resumed, the same losses"


def note(at: Scene) -> str:
    run = finished(at.home, at.data, at.llama)
    shown = at.studio.runs.events(run)
    killed_at(at.moment, at.home, run)
    assert at.studio.runs.get(run).note == "a note" and at.studio.runs.get(run).tags == ("x",)
    return f"the note was saved; {kept(at.studio, run, shown)}"


def delete(at: Scene) -> str:
    run = finished(at.home, at.data, at.llama)
    killed_at(at.moment, at.home, run)
    at.studio.reconcile()
    left = [each.id for each in at.studio.runs.all()]
    if left:
        at.studio.runs.delete(run)
    at.studio.reconcile()
    assert at.studio.runs.all() == [], "what was deleted does not come back"
    return "still listed; the next delete removed it" if left else "deleted, and not listed again"


def export(at: Scene) -> str:
    run, out = finished(at.home, at.data, at.llama), at.home.root / "taken.zip"
    shown = at.studio.runs.events(run)
    killed_at(at.moment, at.home, run, str(out))
    assert not out.exists(), "no half file is taken for a whole one"
    with zipfile.ZipFile(at.studio.saved.export_archive(run, out)) as archive:
        assert archive.testzip() is None
    return f"no half file; the next export was complete; {kept(at.studio, run, shown)}"


def take_in(at: Scene) -> str:
    run = finished(at.home, at.data, at.llama)
    shown = [each.event for each in at.studio.runs.events(run)]
    file = at.studio.saved.export_archive(run, at.home.root / "taken.zip")
    at.studio.runs.delete(run)
    killed_at(at.moment, at.home, str(file))
    at.studio.reconcile()
    found = at.studio.runs.all()
    assert [each.id for each in found] in ([], [run])
    if not found:
        assert at.studio.saved.import_archive(file).id == run
    assert at.studio.runs.get(run).has_result and [each.event for each in at.studio.runs.events(run)] == shown
    how = "complete, and listed by the next server" if found else "nothing remained; the next import worked"
    return f"{how}; {len(shown)} events, 0 lost"


def look(at: Scene) -> str:
    run = lost(at.home, at.data, at.llama)
    shown = [each for each in at.home.workspace().events.after(run)]
    killed_at(at.moment, at.home)
    at.studio.reconcile()
    assert at.studio.runs.get(run).status == "interrupted"
    states = [each.event.status for each in at.studio.runs.events(run, kinds=("state",))]  # type: ignore[union-attr]
    assert states.count("interrupted") == 1
    return f"one event, by the next server; {on_to_the_end(at, run, shown)}"


ACTS = {
    "start": start,
    "stop": stop,
    "pause": pause,
    "resume": resume,
    "note": note,
    "delete": delete,
    "export": export,
    "import": take_in,
    "look": look,
}
