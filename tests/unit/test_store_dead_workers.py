"""Workers that hang are ended before their runs are called interrupted; each end is told by its own cause."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.machine.limits import oom_kills
from studio.machine.processes import identity, lives
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.runs import RunSpec
from studio.store import Home, Workspace
from studio.store.dead_workers import END_SECONDS, PATIENCE, STALE_SECONDS
from studio.training.loop.outcome import Outcome
from studio.worker.run import Worker

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, lambda *_: print("asked", flush=True))
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); print(0, flush=True); time.sleep(60)"])
print(child.pid, flush=True)
while True:
    time.sleep(1)
"""  # noqa: E501


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Home(tmp_path / "home").workspace()


@pytest.fixture
def run(place: Workspace) -> str:
    config = TrainingConfig(task="chat", model="starter-chat", batch_size=4)
    data = DatasetSpec(task="chat", roles={})
    run = place.runs.create(RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec())).id
    place.home.queue.enqueue(place.name, run)
    return run


@pytest.fixture
def stubborn() -> Iterator["subprocess.Popen[str]"]:
    """A process that does not end when it is asked to, with a child of the same kind."""
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def at_work(place: Workspace, run: str, pid: int) -> None:
    place.home.queue.claim(run, pid)
    assert place.home.queue.try_start(run) and place.runs.begin(run, pid)
    place.runs.set_status(run, "training")


def silent_for(place: Workspace, run: str, seconds: float) -> None:
    place.runs.update(run, beat=time.monotonic() - seconds)


def gone(pid: int, known: str) -> bool:
    deadline = time.monotonic() + 10
    while lives(pid, known) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not lives(pid, known)


def test_a_worker_that_hangs_is_asked_to_end_then_killed_with_its_children_and_only_then_called_interrupted(
    place: Workspace, run: str, stubborn: "subprocess.Popen[str]"
) -> None:
    assert stubborn.stdout is not None
    child = next(int(line) for line in stubborn.stdout if line.strip() != "0")
    known, of_child = identity(stubborn.pid), identity(child)
    at_work(place, run, stubborn.pid)
    silent_for(place, run, 3 * STALE_SECONDS)  # nobody has looked for hours
    assert place.runs.reconcile() == []
    record = place.runs.get(run)
    assert (record.status, lives(stubborn.pid, known)) == ("stopping", True)
    assert "has not responded for 45 minutes" in record.reason
    assert next(line for line in stubborn.stdout if line.strip() != "0").strip() == "asked"
    silent_for(place, run, STALE_SECONDS + END_SECONDS + 1)
    place.runs.reconcile()
    assert gone(stubborn.pid, known) and gone(child, of_child)
    place.runs.reconcile()
    assert place.runs.get(run).status == "interrupted"
    assert "It did not respond for 45 minutes and was stopped" in place.runs.get(run).reason
    other = place.runs.create(place.runs.spec(run)).id
    place.home.queue.enqueue(place.name, other)
    assert place.home.queue.claim(other, os.getpid()) and place.home.queue.try_start(other), "the next one has its turn"


def test_a_worker_that_is_silent_is_not_taken_for_a_hanging_one_while_it_waits_for_the_database(
    place: Workspace, run: str
) -> None:
    at_work(place, run, os.getpid())  # were it taken for one, this very process would be asked to end
    silent_for(place, run, PATIENCE + 60)
    assert Worker(place.home, place.name, run).workspace.db.patience == PATIENCE < STALE_SECONDS
    assert place.runs.reconcile() == [] and place.runs.get(run).status == "training"


def test_one_that_waits_ends_a_worker_that_hangs_in_another_workspace(
    place: Workspace, run: str, stubborn: "subprocess.Popen[str]"
) -> None:
    at_work(place, run, stubborn.pid)
    silent_for(place, run, 2 * STALE_SECONDS)
    other = place.home.workspace("other")
    waits = other.runs.create(place.runs.spec(run)).id
    place.home.queue.enqueue("other", waits)
    worker = Worker(place.home, "other", waits)
    worker._end_hung_workers()
    assert place.runs.get(run).status == "stopping"


def _called(home: Home) -> str:
    """The run that needs a worker."""
    called = home.queue.next_to_start(lambda: 2**50)
    return called.run if called else ""


def waits(place: Workspace, run: str, pid: int, seconds: float) -> None:
    """A worker has claimed a run, and last asked for its turn so long ago."""
    assert place.home.queue.claim(run, pid)
    with place.home.queue.db.write() as connection:
        connection.execute("UPDATE entries SET beat = ? WHERE run = ?", (time.monotonic() - seconds, run))


def test_a_worker_that_hangs_while_it_waits_is_killed_and_its_run_keeps_its_place_for_a_new_one(
    place: Workspace, run: str, stubborn: "subprocess.Popen[str]"
) -> None:
    known = identity(stubborn.pid)
    waits(place, run, stubborn.pid, STALE_SECONDS + 1)
    other = place.runs.create(place.runs.spec(run)).id
    place.home.queue.enqueue(place.name, other)
    assert place.home.queue.claim(other, os.getpid())
    assert not place.home.queue.try_start(other), "it comes after the one that hangs"
    Worker(place.home, place.name, other)._end_hung_workers()
    assert gone(stubborn.pid, known)
    assert not place.home.queue.try_start(other) and place.home.queue.entries()[0] == (place.name, run, False)
    assert (place.runs.get(run).status, _called(place.home)) == ("queued", run)


def test_a_worker_that_waits_for_hours_and_asks_is_left_alone(
    place: Workspace, run: str, stubborn: "subprocess.Popen[str]"
) -> None:
    at_work(place, run, os.getpid())
    other = place.runs.create(place.runs.spec(run)).id
    place.home.queue.enqueue(place.name, other)
    waits(place, other, stubborn.pid, 3 * STALE_SECONDS)
    assert not place.home.queue.try_start(other)
    place.home.queue.end_hung_workers()
    assert stubborn.poll() is None and place.home.queue.worker(other) == stubborn.pid


def test_a_worker_says_no_last_word_of_a_run_that_was_taken_for_lost(place: Workspace, run: str) -> None:
    at_work(place, run, os.getpid())
    worker = Worker(place.home, place.name, run)
    assert worker._owns_run()
    place.runs.set_status(run, "interrupted", reason="Lost.")
    assert not worker._owns_run()
    for wish in (None, "keep", "pause"):
        worker._finish(Outcome("adapter", None, wish, False, 7, None))
        assert (place.runs.get(run).status, place.runs.get(run).reason) == ("interrupted", "Lost.")
    worker._fail(ValueError("late"))
    assert place.runs.get(run).status == "interrupted"


def ended(place: Workspace, run: str, **changes: object) -> str:
    """What is said of a run whose worker is gone."""
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    at_work(place, run, process.pid)
    process.communicate()
    place.runs.update(run, step=0, **changes)
    (record,) = place.runs.reconcile()
    return record.reason


def test_want_of_memory_is_named_only_when_the_system_ended_a_process_for_it(place: Workspace, run: str) -> None:
    assert "memory" not in ended(place, run)
    place.runs.set_status(run, "queued")
    place.home.queue.enqueue(place.name, run, rerun=True)
    assert "because memory ran out" in ended(place, run, kills=oom_kills() - 1)
    assert place.runs.killed_for_memory() == [run]


def test_a_heartbeat_looks_at_what_was_killed_so_far(place: Workspace, run: str) -> None:
    at_work(place, run, os.getpid())
    place.runs.update(run, kills=oom_kills() - 1)  # something else was killed: the run went on
    place.runs.beat(run, "training", 1, 2, 1.0)
    row = place.db.row("SELECT kills FROM runs WHERE id = ?", (run,))
    assert row is not None and row["kills"] == oom_kills()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process does not tell since which start it lives")
def test_a_restart_of_the_machine_is_named(place: Workspace, run: str) -> None:
    assert "The machine was restarted" in ended(place, run, identity="0badb007:123")
