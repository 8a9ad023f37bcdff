"""The machine's queue: one at work, the others in turn, and a killed worker never blocks the next one."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.machine.processes import identity, lives
from studio.store.queue import Queue

WORKER = """
import os, sys, time
from pathlib import Path
from studio.store.queue import Queue
queue = Queue(Path(sys.argv[1]))
run = sys.argv[2]
print("claimed" if queue.claim(run, os.getpid()) else "refused", flush=True)
while not queue.try_start(run):
    time.sleep(0.02)
print("running", flush=True)
sys.stdin.readline()
queue.remove(run)
print("left", flush=True)
"""
RACES = """
import os, sys
from pathlib import Path
from studio.store.queue import Queue
queue = Queue(Path(sys.argv[1]))
sys.stdin.readline()
print("claimed" if queue.claim("a", os.getpid()) else "refused", flush=True)
sys.stdin.readline()
"""


class Worker:
    """A real process that claims a run, waits for its turn, and leaves when told."""

    def __init__(self, path: Path, run: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path), run], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def says(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def finish(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def workers(path: Path) -> Iterator[list[Worker]]:
    started: list[Worker] = []
    yield started
    for worker in started:
        worker.kill()


def start(workers: list[Worker], path: Path, run: str) -> Worker:
    worker = Worker(path, run)
    workers.append(worker)
    assert worker.says() == "claimed"
    return worker


def a_dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_second_run_waits_until_the_first_has_left(path: Path, workers: list[Worker]) -> None:
    queue = Queue(path)
    queue.enqueue("default", "a")
    queue.enqueue("other", "b")
    first = start(workers, path, "a")
    assert first.says() == "running"
    second = start(workers, path, "b")
    time.sleep(0.3)
    assert queue.has_running_run()
    assert [queue.position(run) for run in "ab"] == [0, 1]
    assert queue.entries() == [("default", "a", True), ("other", "b", True)]
    first.finish()
    assert first.says() == "left"
    assert second.says() == "running"
    assert queue.position("b") == 0


def test_the_next_one_goes_on_when_the_one_at_work_is_killed(path: Path, workers: list[Worker]) -> None:
    queue = Queue(path)
    for run in "ab":
        queue.enqueue("default", run)
    first = start(workers, path, "a")
    assert first.says() == "running"
    second = start(workers, path, "b")
    first.process.kill()
    first.process.wait()
    assert second.says() == "running"
    assert queue.position("a") is None


def test_those_that_asked_first_go_first_whoever_claims_first(path: Path, workers: list[Worker]) -> None:
    queue = Queue(path)
    for run in "abc":
        queue.enqueue("default", run)
    third, second = start(workers, path, "c"), start(workers, path, "b")
    first = start(workers, path, "a")
    for worker in (first, second, third):
        assert worker.says() == "running"
        worker.finish()
        assert worker.says() == "left"
    assert queue.entries() == []


@pytest.mark.slow
def test_of_two_workers_that_grab_a_run_at_once_only_one_has_it(path: Path) -> None:
    Queue(path).enqueue("default", "a")
    rivals = [
        subprocess.Popen(
            [sys.executable, "-c", RACES, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    time.sleep(0.5)
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("\n")
        rival.stdin.flush()
    answers = sorted(rival.stdout.readline().strip() for rival in rivals if rival.stdout)
    for rival in rivals:
        rival.communicate("\n")
    assert answers == ["claimed", "refused", "refused"]


def test_a_run_that_nobody_asked_for_can_not_be_claimed(path: Path) -> None:
    assert not Queue(path).claim("unknown", os.getpid())


def test_a_run_of_a_dead_worker_can_be_claimed_again(path: Path) -> None:
    queue = Queue(path)
    queue.enqueue("default", "a")
    assert queue.claim("a", a_dead_pid())
    assert queue.worker("a") is None
    assert queue.claim("a", os.getpid())
    assert queue.worker("a") == os.getpid()
    assert not queue.claim("a", os.getppid())


def test_asking_twice_keeps_the_place(path: Path) -> None:
    queue = Queue(path)
    for run in ("a", "b", "a"):
        queue.enqueue("default", run)
    assert [queue.position(run) for run in "ab"] == [0, 1]


def test_a_resumed_run_is_not_thrown_out_with_its_dead_worker(path: Path) -> None:
    """Killed at work, asked for again at once, and then another run looks before the new worker has begun."""
    queue = Queue(path)
    queue.enqueue("default", "a")
    queue.enqueue("default", "b")
    dead = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    assert queue.claim("a", dead.pid)
    assert queue.try_start("a")
    dead.kill()
    dead.communicate()
    queue.enqueue("default", "a")
    assert queue.claim("b", os.getpid())
    assert queue.try_start("b")
    assert queue.position("a") == 1
    assert queue.claim("a", os.getppid())


def free() -> int:
    """Room for all."""
    return 2**50


def test_only_the_next_run_is_called_and_one_asker_only_is_told(path: Path) -> None:
    queue = Queue(path)
    for run in "abc":
        queue.enqueue("default", run)
    called = queue.next_to_start(free)
    assert called is not None and (called.workspace, called.run) == ("default", "a")
    assert Queue(path).next_to_start(free) is None, "its worker is just being started"
    assert queue.claim("a", os.getpid()) and queue.next_to_start(free) is None, "it is about to take its turn"
    assert queue.try_start("a")
    called = queue.next_to_start(free)
    assert called is not None and called.run == "b" and queue.next_to_start(free) is None
    assert queue.claim("b", os.getpid()) and queue.next_to_start(free) is None


def test_a_waiting_run_whose_worker_died_keeps_its_place_and_is_called_again(path: Path) -> None:
    queue = Queue(path)
    queue.enqueue("default", "a")
    assert queue.claim("a", a_dead_pid())
    called = queue.next_to_start(free)
    assert called is not None and called.run == "a"
    assert queue.position("a") == 0


def test_a_run_whose_worker_died_at_work_leaves_the_queue_when_someone_looks(path: Path) -> None:
    queue = Queue(path)
    queue.enqueue("default", "a")
    assert queue.claim("a", a_dead_pid())
    with queue.db.write() as connection:
        connection.execute("UPDATE entries SET state = 'running'")
    assert queue.next_to_start(free) is None and queue.position("a") is None


def test_while_the_next_run_does_not_fit_it_and_one_that_fits_have_workers(path: Path) -> None:
    queue = Queue(path)
    for run, memory in (("a", 8), ("b", 7), ("c", 2), ("d", 1)):
        queue.enqueue("default", run, memory)
    first, second = (queue.next_to_start(lambda: 4) for _ in range(2))
    assert first is not None and second is not None and (first.run, second.run) == ("a", "c")
    assert queue.next_to_start(lambda: 4) is None
    assert queue.claim("a", os.getpid()) and queue.claim("c", os.getppid())
    assert not queue.try_start("a", 4) and queue.try_start("c", 4)
    assert queue.next_to_start(lambda: 0) is None, "while one trains, the next has its worker"


def test_guests_count_while_they_live(path: Path) -> None:
    queue = Queue(path)
    queue.host_started(os.getpid())
    queue.host_started(os.getpid())
    queue.host_started(a_dead_pid())
    assert queue.active_hosts() == 1
    queue.host_idle(os.getpid())
    assert queue.active_hosts() == 0


def test_a_run_is_at_work_only_while_its_process_lives(path: Path) -> None:
    queue = Queue(path)
    queue.enqueue("default", "a")
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    queue.claim("a", child.pid)
    assert not queue.has_running_run()
    assert queue.try_start("a")
    assert queue.has_running_run()
    child.communicate()
    assert not queue.has_running_run()


def test_a_pid_alone_does_not_make_a_process() -> None:
    mine = identity(os.getpid())
    assert lives(os.getpid(), mine)
    assert not lives(os.getpid(), "another start")
    assert not lives(None, mine)
    assert not lives(os.getpid(), "")
    assert identity(a_dead_pid()) == ""


def test_a_zombie_does_not_live() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    known = identity(child.pid)
    assert known
    assert child.stdin is not None
    child.stdin.close()
    deadline = time.monotonic() + 10
    while lives(child.pid, known) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not lives(child.pid, known)
    child.wait()
