"""Fair scheduling: a visitor with much slow work waits for itself, and not the others for it."""

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from studio.schema.errors import StudioError
from studio.schema.limits import OWNER, Limits
from studio.ui.http.rate_limits import Rate
from studio.ui.scheduler import JOBS_PER_ADDRESS, PER_ADDRESS, WAITING_JOBS, ActionScheduler, JobScheduler, Visitor

LIMITS = Limits(actions_at_once=2, waiting_actions=30, jobs_at_once=1)


def in_loop(test: Callable[[], object]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_a_visitor_with_slow_actions_leaves_threads_for_the_others() -> None:
    async def scene() -> None:
        scheduler, release = ActionScheduler(LIMITS, threads=4), threading.Event()
        slow = [asyncio.create_task(scheduler.run(Visitor("hostile"), release.wait, 20)) for _ in range(10)]
        await asyncio.sleep(0.05)
        began = time.monotonic()
        assert await scheduler.run(Visitor("anna"), lambda: "done") == "done"
        assert time.monotonic() - began < 2
        release.set()
        await asyncio.gather(*slow)

    in_loop(scene)


def test_many_workspaces_of_one_address_share_what_the_address_may_have() -> None:
    async def scene() -> None:
        scheduler, release, running = ActionScheduler(LIMITS, threads=64), threading.Event(), []

        def work() -> None:
            running.append(1)
            release.wait(20)

        tasks = [asyncio.create_task(scheduler.run(Visitor(f"w{n}", "10.0.0.9"), work)) for n in range(20)]
        await asyncio.sleep(0.3)
        assert len(running) == LIMITS.actions_at_once * PER_ADDRESS
        assert await scheduler.run(Visitor("anna", "10.0.0.1"), lambda: 1) == 1
        release.set()
        await asyncio.gather(*tasks)
        assert len(running) == 20

    in_loop(scene)


def test_who_was_served_longest_ago_comes_next() -> None:
    async def scene() -> None:
        scheduler, order, gate = ActionScheduler(Limits(actions_at_once=5), threads=1), [], threading.Event()
        tasks = [asyncio.create_task(scheduler.run(Visitor("first"), gate.wait, 20))]
        await asyncio.sleep(0.05)
        for name in ("a", "a", "a", "b", "c"):
            tasks.append(asyncio.create_task(scheduler.run(Visitor(name), order.append, name)))
        await asyncio.sleep(0.05)
        gate.set()
        await asyncio.gather(*tasks)
        assert order == ["a", "b", "c", "a", "a"]

    in_loop(scene)


def test_too_many_waiting_actions_are_refused_and_the_others_are_done() -> None:
    async def scene() -> None:
        scheduler, release = ActionScheduler(Limits(actions_at_once=1, waiting_actions=3), threads=4), threading.Event()
        tasks = [asyncio.create_task(scheduler.run(Visitor("w"), release.wait, 20)) for _ in range(4)]
        await asyncio.sleep(0.05)
        with pytest.raises(StudioError) as refused:
            await scheduler.run(Visitor("w"), lambda: None)
        assert refused.value.code == "limit-reached" and "up to 3" in refused.value.message
        release.set()
        assert await asyncio.gather(*tasks) == [True] * 4

    in_loop(scene)


def test_an_action_that_is_cancelled_while_it_waits_gives_its_place_up_and_errors_reach_the_caller() -> None:
    async def scene() -> None:
        scheduler, release = ActionScheduler(Limits(actions_at_once=1), threads=1), threading.Event()
        first = asyncio.create_task(scheduler.run(Visitor("a"), release.wait, 20))
        waits = asyncio.create_task(scheduler.run(Visitor("b"), lambda: pytest.fail("it was cancelled")))
        await asyncio.sleep(0.05)
        waits.cancel()
        release.set()
        await first
        with pytest.raises(ZeroDivisionError):
            await scheduler.run(Visitor("b"), lambda: 1 / 0)
        assert await scheduler.run(Visitor("b"), lambda: 1) == 1
        assert scheduler._busy == 0 and not scheduler._running and not any(scheduler._waiting.values())

    in_loop(scene)


def test_the_owner_alone_has_no_limit_but_the_threads() -> None:
    async def scene() -> None:
        scheduler = ActionScheduler(OWNER, threads=2)
        assert await asyncio.gather(*(scheduler.run(Visitor("default"), lambda n=n: n) for n in range(200))) == list(
            range(200)
        )

    in_loop(scene)


def test_long_jobs_of_one_visitor_run_one_at_a_time_and_those_of_others_beside_them() -> None:
    jobs, release, ran = JobScheduler(LIMITS), threading.Event(), []

    def job(workspace: str) -> None:
        with jobs.turn(workspace):
            ran.append(workspace)
            release.wait(20)

    threads = [threading.Thread(target=job, args=(name,)) for name in ("hostile", "hostile", "hostile")]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    threads.append(threading.Thread(target=job, args=("anna",)))
    threads[-1].start()
    time.sleep(0.2)
    assert sorted(ran) == ["anna", "hostile"]
    release.set()
    for thread in threads:
        thread.join(10)
    assert sorted(ran) == ["anna", "hostile", "hostile", "hostile"]


def test_many_workspaces_of_one_address_keep_no_long_job_of_another_address_waiting() -> None:
    jobs = JobScheduler(LIMITS, lambda workspace: "" if workspace == "owner" else workspace.partition(" ")[0])
    release, ran = threading.Event(), []

    def job(workspace: str) -> None:
        with jobs.turn(workspace):
            ran.append(workspace)
            release.wait(20)

    threads = [threading.Thread(target=job, args=(f"hostile {number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    assert len(ran) == JOBS_PER_ADDRESS, "a place is left for another address"
    threads += [threading.Thread(target=job, args=(name,)) for name in ("anna 1", "bert 1")]
    threads[-2].start()
    time.sleep(0.2)
    threads[-1].start()
    time.sleep(0.2)
    assert len(ran) == JOBS_PER_ADDRESS + 1 and ran[-1] == "anna 1"
    release.set()
    for thread in threads:
        thread.join(10)
    assert ran[3] == "bert 1", "who was never served comes before those who wait for longer"
    assert len(ran) == 10 and not jobs._running


def test_a_visitor_may_not_queue_any_number_of_long_jobs_and_a_stopped_one_waits_no_longer() -> None:
    jobs, release, stop = JobScheduler(LIMITS), threading.Event(), threading.Event()

    def job() -> None:
        with jobs.turn("w", stop.is_set):
            if not stop.is_set():
                release.wait(20)

    threads = [threading.Thread(target=job) for _ in range(WAITING_JOBS + 1)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    with pytest.raises(StudioError, match="long jobs"):
        jobs.require_room("w")
    jobs.require_room("somebody-else")
    stop.set()
    release.set()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)


def test_a_rate_forgets_with_time_and_counts_each_key_for_itself() -> None:
    rate = Rate(0.2, most_keys=3)
    assert [rate.allow("a", 2) for _ in range(3)] == [True, True, False]
    assert rate.allow("b", 2)
    time.sleep(0.25)
    assert rate.allow("a", 2)
    assert all(rate.allow(f"k{n}", 1) for n in range(10)) and len(rate._times) <= 3
