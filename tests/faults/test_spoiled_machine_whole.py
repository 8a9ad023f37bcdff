"""Failures from outside a run and is tested in tests/real too: here for the whole table, and with its losses."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from worker_runs import add_run, add_sample, log_of, record_of, start_worker, steps_of, wait_for

from studio.api import Studio
from studio.schema.dataset import DatasetRecord
from studio.store import Home
from studio.store.dead_workers import END_SECONDS, STALE_SECONDS

from .conftest import SETTINGS, Told, go_on, halt, same

LONG = {**SETTINGS, "epochs": 100, "eval_steps": 20, "test_prompts": ()}
PRESSES = """
import sys
from studio.api import Studio
from studio.schema.requests import RunRequest
studio = Studio(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
settings = {"max_length": 64, "max_steps": 2, "eval_rows": 2}
request = RunRequest(dataset=sys.argv[2], model=sys.argv[3], task="chat", settings=settings)
print(studio.runs.start(request, once="the page").id, flush=True)
sys.stdin.readline()
"""

WORKS = """
import sys
from studio.store import Home
from studio.store.dead_workers import END_SECONDS, STALE_SECONDS
from studio.worker.run import Worker
sys.exit(Worker(Home(sys.argv[1]), "default", sys.argv[2]).work())
"""
NARROWED = """
import resource, sys
import torch
import studio.training.loop.run as run
from studio.store import Home
from studio.worker.run import Worker

learn, backward, held = run._Run.learn, torch.Tensor.backward, []

def hungry(loss, *given, **named):  # 64 MB more a step: what lies free within the process does not last
    held.append(torch.ones(2**24))
    return backward(loss, *given, **named)

def narrow(self):  # all is loaded: what it holds grows from now on, and nothing more is given
    room = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    return learn(self)

run._Run.learn, torch.Tensor.backward = narrow, hungry
sys.exit(Worker(Home(sys.argv[1]), "default", sys.argv[2]).work())
"""
HUNGRY = """
import time
held = [bytearray(b"a" * 1_000_000) for _ in range(100)]
time.sleep(60)
"""
LOOKS = """
import sys
from studio.api import Studio
studio = Studio(sys.argv[1])
studio.reconcile()
print(studio.runs.get(sys.argv[2]).status)
studio.close()
"""


def test_sigterm(home: Home, data: DatasetRecord, llama: str, told: Told) -> None:
    run = add_run(home, data, llama, **LONG)
    worker = start_worker(home, run)
    wait_for(lambda: steps_of(home, run))
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0, log_of(home, run)
    took = time.monotonic() - began
    assert (record_of(home, run).status, record_of(home, run).has_result) == ("stopped", True)
    told("SIGTERM to the worker", "a step", f"stopped after {took:.1f} s, best checkpoint kept")


def test_a_worker_that_hangs(
    home: Home, data: DatasetRecord, llama: str, studio: Studio, unharmed: dict[int, float], told: Told
) -> None:
    run = add_run(home, data, llama, **SETTINGS)
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) >= 6)
    halt(home, worker)
    home.workspace().runs.update(run, beat=time.monotonic() - STALE_SECONDS - 1)  # as if it were so for long
    studio.reconcile()
    assert studio.runs.get(run).status == "stopping" and worker.poll() is None, "it may obey SIGTERM"
    home.workspace().runs.update(run, beat=time.monotonic() - STALE_SECONDS - END_SECONDS - 1)
    studio.reconcile()
    assert worker.wait(10) == -signal.SIGKILL
    studio.reconcile()
    record = studio.runs.get(run)
    assert record.status == "interrupted" and "It did not respond for 45 minutes and was stopped" in record.reason
    go_on(studio, run)
    same(home, run, unharmed)
    told("the worker hangs", "a step", "ended after 45 minutes of silence, interrupted, resumed, the same losses")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process what it holds")
def test_out_of_memory(home: Home, data: DatasetRecord, llama: str, told: Told) -> None:
    run = add_run(home, data, llama, **LONG, batch_size=1)  # with more it would be tried at half
    worker = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", NARROWED, str(home.root), run],
        start_new_session=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    assert worker.wait(120) == 1
    record = record_of(home, run)
    said = record.reason.split(".")[0]
    assert record.status == "failed" and said == "The run needed more memory than there is", record
    assert home.queue.entries() == []
    told("out of memory: limit of the process", "a step", f"{record.status}: “{said}.”")


@pytest.fixture
def group() -> Iterator[Path]:
    """A control group of its own, whose memory the test sets the limit of."""
    root = Path("/sys/fs/cgroup")
    old = (root / "memory").is_dir()
    folder = root / ("memory" if old else "") / f"studio-test-{os.getpid()}"
    try:
        folder.mkdir()
        if not (folder / ("memory.limit_in_bytes" if old else "memory.max")).exists():
            folder.rmdir()
            raise OSError("the controller is not there")
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield folder
    wait_for(lambda: not (folder / "cgroup.procs").read_text())
    folder.rmdir()


def narrow(group: Path, room: int | None) -> None:
    """Leave so many bytes beside what is used; None for as much as the machine has."""
    old = (group / "memory.limit_in_bytes").exists()
    used = int((group / ("memory.usage_in_bytes" if old else "memory.current")).read_text())
    unlimited = "-1" if old else "max"
    (group / ("memory.limit_in_bytes" if old else "memory.max")).write_text(
        unlimited if room is None else str(used + room)
    )


def within(group: Path, code: str, *given: str, heard: bool = False) -> "subprocess.Popen[str]":
    """Python in the group; what it says is `heard`, or not."""
    out = subprocess.PIPE if heard else subprocess.DEVNULL
    enter = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
    return subprocess.Popen(
        [sys.executable, "-c", enter + code, *given],
        stdout=out,
        text=True,
        start_new_session=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )


def test_killed_by_the_system_for_want_of_memory(
    home: Home, data: DatasetRecord, llama: str, group: Path, told: Told
) -> None:
    run = add_run(home, data, llama, **{**SETTINGS, "epochs": 4}, batch_size=2)
    worker = within(group, WORKS, str(home.root), run)
    wait_for(lambda: len(steps_of(home, run)) > 6)
    halt(home, worker)  # or it would be through before the memory is
    Path(f"/proc/{worker.pid}/oom_score_adj").write_text("1000")  # and it is the one to go
    narrow(group, 20_000_000)
    hungry = within(group, HUNGRY)
    assert worker.wait(60) == -signal.SIGKILL
    hungry.kill()
    hungry.wait()
    narrow(group, None)
    looks = within(group, LOOKS, str(home.root), run, heard=True)  # from within, where the system's count is seen
    assert looks.communicate(timeout=60)[0].strip() in ("queued", "starting")
    said = [each.event for each in home.workspace().events.after(run, kinds=("state",))]
    reason = next(each.message for each in said if each.status == "interrupted")  # type: ignore[union-attr]
    assert "The system stopped it, because memory ran out" in reason
    wait_for(lambda: record_of(home, run).status == "finished")
    assert home.workspace().runs.spec(run).config.batch_size == 1
    told(
        "out of memory: killed by the system",
        "a step",
        "reported as such; tried once more with half the batch size, finished",
    )


@pytest.fixture
def small_disk(disk_of: Callable[[int], Path]) -> Path:
    return disk_of(120)


def test_a_full_disk(small_disk: Path, llama: str, unharmed: dict[int, float], told: Told) -> None:
    home = Home(small_disk / "home")
    run = add_run(home, add_sample(home, "support-tone", 40), llama, **SETTINGS)
    worker = start_worker(home, run)
    wait_for(lambda: list(home.workspace().runs.folder(run).checkpoints.glob("checkpoint-*/complete.json")))
    os.kill(worker.pid, signal.SIGSTOP)  # so that it is not through before the disk is full
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(4096))
        except OSError:
            pass
    os.kill(worker.pid, signal.SIGCONT)
    assert worker.wait(120) == 1, log_of(home, run)
    filler.unlink()
    studio = Studio(home)
    try:
        studio.reconcile()
        record = studio.runs.get(run)
        assert record.status in ("failed", "interrupted") and "is saved" in record.reason, record
        go_on(studio, run)
        same(home, run, unharmed)
    finally:
        studio.close()
    told(
        "a full disk, a small tmpfs",
        "after the first checkpoint",
        "stopped, last checkpoint safe; with free space it resumed to the same losses",
    )


def test_a_locked_database(home: Home, data: DatasetRecord, llama: str, unharmed: dict[int, float], told: Told) -> None:
    run = add_run(home, data, llama, **SETTINGS)
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) >= 3)
    path = home.workspace().root / "studio.db"
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        time.sleep(35)  # longer than one wait of SQLite's
        assert worker.poll() is None, log_of(home, run)
        holder.execute("ROLLBACK")
    assert worker.wait(120) == 0, log_of(home, run)
    assert record_of(home, run).status == "finished"
    same(home, run, unharmed)
    told("the database locked by another program for 35 s", "a step", "the run waited and finished; 0 events lost")


def test_two_who_press_start_at_once(home: Home, data: DatasetRecord, llama: str, studio: Studio, told: Told) -> None:
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", PRESSES, str(home.root), data.id, llama],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        for _ in range(2)
    ]
    for rival in rivals:
        assert rival.stdout is not None and rival.stdout.readline() == "ready\n"
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("\n")
        rival.stdin.flush()
    made = {rival.stdout.readline().strip() for rival in rivals if rival.stdout}
    for rival in rivals:
        rival.communicate("\n")
    assert len(made) == 1 and [each.id for each in studio.runs.all()] == list(made)
    (run,) = made
    wait_for(lambda: studio.runs.get(run).status == "finished", studio=studio)
    assert [event.step for event in steps_of(home, run)] == [1, 2]
    told("Start pressed in two browsers", "the same moment", "one run, trained once")
