"""In which order runs have their turns: fair between workspaces, as their owner likes within one, by what fits."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from studio.schema.errors import StudioError
from studio.schema.limits import DEMO
from studio.store.queue import Owner, Queue

GB = 2**30


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "queue.db")


def order(queue: Queue) -> str:
    return "".join(run for _, run, _ in queue.entries())


def ask(queue: Queue, runs: str, workspace: str = "default", memory: int = 0) -> None:
    """Runs of this very process, waiting."""
    for run in runs:
        queue.enqueue(workspace, run, memory)
        queue.claim(run, os.getpid())


def take(queue: Queue, run: str, free: int | None = None) -> None:
    """A run has its turn and ends."""
    assert queue.try_start(run, free), run
    queue.remove(run)


def test_ten_runs_of_one_visitor_do_not_come_before_the_first_of_another(queue: Queue) -> None:
    ask(queue, "abcde", "one")
    ask(queue, "xy", "two")
    ask(queue, "m", "three")
    assert order(queue) == "axmbycde"
    for run in "axmbycde":
        assert queue.position(run) == 0
        take(queue, run)


def test_who_had_a_turn_long_ago_comes_before_who_has_just_had_one(queue: Queue) -> None:
    ask(queue, "ab", "one")
    take(queue, "a")
    ask(queue, "x", "two")
    assert order(queue) == "xb"
    take(queue, "x")
    ask(queue, "y", "two")
    assert order(queue) == "by"


@pytest.mark.parametrize(("way", "after"), [("up", "acbd"), ("down", "abdc"), ("first", "cabd"), ("last", "abdc")])
def test_a_waiting_run_is_given_another_place(queue: Queue, way: str, after: str) -> None:
    ask(queue, "abcd")
    assert queue.move("c", way)  # type: ignore[arg-type]
    assert order(queue) == after


def test_moves_stop_at_the_ends_and_stay_within_a_workspace(queue: Queue) -> None:
    ask(queue, "ab", "one")
    ask(queue, "x", "two")
    assert queue.move("a", "up") and queue.move("b", "down") and queue.move("x", "first")
    assert order(queue) == "axb"
    assert not queue.move("unknown", "up")


def test_a_run_at_work_is_not_moved_and_none_is_put_before_it(queue: Queue) -> None:
    ask(queue, "abc")
    assert queue.try_start("a")
    assert not queue.move("a", "last")
    assert queue.move("c", "first")
    assert order(queue) == "acb"
    assert not queue.try_start("c")


def test_two_small_runs_do_not_run_at_once(queue: Queue) -> None:
    ask(queue, "ab", memory=GB)
    assert queue.try_start("a", 64 * GB)
    assert not queue.try_start("b", 64 * GB)


def test_a_run_that_does_not_fit_waits_says_why_and_lets_others_pass(queue: Queue) -> None:
    ask(queue, "a", memory=8 * GB)
    ask(queue, "b", memory=2 * GB)
    assert not queue.try_start("a", 4 * GB)
    assert [(each.run, each.memory, each.free) for each in queue.listing()] == [
        ("a", 8 * GB, 4 * GB),
        ("b", 2 * GB, None),
    ]
    take(queue, "b", 4 * GB)
    assert queue.try_start("a", 9 * GB)
    assert queue.listing()[0].free is None


def test_a_run_whose_worker_is_long_gone_is_not_waited_for_and_keeps_its_place(queue: Queue) -> None:
    queue.enqueue("default", "a")
    ask(queue, "b")
    called = queue.next_to_start(lambda: 64 * GB)
    assert called is not None and called.run == "a"
    assert not queue.try_start("b"), "its worker is just being started"
    with queue.db.write() as connection:
        connection.execute("UPDATE entries SET called = '2020-01-01T00:00:00.000Z' WHERE run = 'a'")
    assert order(queue) == "ab"
    assert queue.try_start("b")


def test_a_clock_that_was_set_back_leaves_no_run_waiting_for_a_worker(queue: Queue) -> None:
    queue.enqueue("default", "a")
    with queue.db.write() as connection:
        connection.execute("UPDATE entries SET called = '2099-01-01T00:00:00.000Z'")
    assert [each and each.run for each in (queue.next_to_start(lambda: GB), queue.next_to_start(lambda: GB))] == [
        "a",
        None,
    ]


def test_turns_rotate_between_addresses_so_that_new_workspaces_win_none(queue: Queue) -> None:
    for number in range(4):
        queue.enqueue(f"visitor-{number}", f"run {number}", owner=Owner("one address"))
    queue.enqueue("visitor-9", "other", owner=Owner("another address"))
    assert [run for _, run, _ in queue.entries()] == ["run 0", "other", "run 1", "run 2", "run 3"]
    for run in ("run 0", "other", "run 1"):
        queue.claim(run, os.getpid())
        take(queue, run)
    queue.enqueue("visitor-5", "new workspace", owner=Owner("one address"))
    queue.enqueue("visitor-9", "other again", owner=Owner("another address"))
    assert [run for _, run, _ in queue.entries()] == ["other again", "run 2", "run 3", "new workspace"]


def test_one_run_trains_and_one_waits_for_a_visitor_and_more_are_refused(queue: Queue) -> None:
    queue.enqueue("visitor-1", "a", owner=Owner("", DEMO))
    queue.enqueue("visitor-1", "b", owner=Owner("", DEMO))
    queue.enqueue("visitor-1", "b", owner=Owner("", DEMO))
    with pytest.raises(StudioError) as refusal:
        queue.enqueue("visitor-1", "c", owner=Owner("", DEMO))
    assert refusal.value.code == "limit-reached" and "up to 1 queued" in refusal.value.message
    with pytest.raises(StudioError):
        queue.require_place("visitor-1", Owner("", DEMO))
    queue.require_place("visitor-1", Owner("", DEMO), "b")
    queue.enqueue("visitor-2", "c", owner=Owner("", DEMO))
    with pytest.raises(StudioError):
        queue.enqueue("visitor-2", "d", owner=Owner("", DEMO))
    for run in "efgh":
        queue.enqueue("default", run)


def test_a_network_address_has_a_limit_over_all_its_workspaces(queue: Queue) -> None:
    for number in range(DEMO.runs_per_address):
        queue.enqueue(f"visitor-{number}", f"run {number}", owner=Owner("one address", DEMO))
    with pytest.raises(StudioError) as refusal:
        queue.enqueue("visitor-9", "more", owner=Owner("one address", DEMO))
    assert refusal.value.code == "limit-reached" and "network address" in refusal.value.message
    queue.enqueue("visitor-10", "another", owner=Owner("another address", DEMO))


def test_of_many_that_ask_at_once_no_more_than_the_limit_come_into_the_queue(queue: Queue) -> None:
    def ask_one(number: int) -> bool:
        try:
            queue.enqueue("visitor-1", f"run {number}", owner=Owner("", DEMO))
        except StudioError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask_one, range(16))) == DEMO.running_runs + DEMO.waiting_runs


def test_a_worker_that_leaves_late_does_not_take_the_run_from_the_next_one(queue: Queue) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    queue.enqueue("default", "a")
    assert queue.claim("a", child.pid) and queue.try_start("a")
    queue.enqueue("default", "a", rerun=True)
    assert queue.claim("a", os.getpid())
    queue.remove("a", child.pid)
    assert queue.worker("a") == os.getpid() and queue.try_start("a")
    queue.remove("a", os.getpid())
    assert queue.entries() == []
    child.communicate()


def test_a_queue_of_an_older_studio_keeps_its_runs_in_their_order(tmp_path: Path) -> None:
    import sqlite3

    from studio.store.migrations import QUEUE

    path = tmp_path / "queue.db"
    old = sqlite3.connect(path)
    old.executescript(QUEUE[0] + "; PRAGMA user_version = 1")
    for run in ("first", "second"):
        old.execute("INSERT INTO entries (workspace, run, asked) VALUES ('default', ?, '2026-01-01T00:00:00Z')", (run,))
    old.commit()
    old.close()
    queue = Queue(path)
    queue.enqueue("default", "third")
    assert [(each.workspace, each.run) for each in queue.listing()] == [
        ("default", "first"),
        ("default", "second"),
        ("default", "third"),
    ]
    assert queue.try_start("first") is True, "turns are kept by owner now"
