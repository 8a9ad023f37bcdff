"""What makes the server cheap: a start without garbage collection, results kept for a moment, bursts that wait."""

import gc
import os
import subprocess
import sys

import pytest

from studio.machine import fresh
from studio.machine.fresh import kept_for
from studio.machine.garbage import paused_garbage_collection
from studio.machine.packages import is_installed

POLICIES = """
import os, subprocess, sys
from studio.machine.scheduling import interrupt_nobody, interrupt_others
interrupt_nobody()
own = os.sched_getscheduler(0)
child = "import os; from studio.machine.scheduling import interrupt_others as f; a = os.sched_getscheduler(0); f(); "
child += "print(a, os.sched_getscheduler(0))"
print(own, subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout)
"""


def test_garbage_is_not_collected_during_a_start_and_is_afterwards() -> None:
    assert gc.isenabled()
    with paused_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_pause_that_fails_or_is_within_another_changes_nothing() -> None:
    with pytest.raises(ValueError, match="wrong"), paused_garbage_collection():
        raise ValueError("wrong")
    assert gc.isenabled()
    with paused_garbage_collection():
        with paused_garbage_collection():
            pass
        assert not gc.isenabled()


def test_a_result_is_kept_for_its_seconds_and_for_each_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    now, calls = [100.0], []
    monkeypatch.setattr(fresh.time, "monotonic", lambda: now[0])

    @kept_for(1.0)
    def doubled(number: int) -> int:
        calls.append(number)
        return 2 * number

    assert [doubled(1), doubled(2), doubled(1)] == [2, 4, 2] and calls == [1, 2]
    assert [doubled(number=3), doubled(number=4), doubled(number=3)] == [6, 8, 6] and calls == [1, 2, 3, 4]
    calls[2:] = []
    now[0] += 0.9
    assert doubled(1) == 2 and calls == [1, 2]
    now[0] += 0.1
    assert doubled(1) == 2 and calls == [1, 2, 1]
    doubled.forget()
    assert doubled(2) == 4 and calls == [1, 2, 1, 2]


def test_installed_packages_are_found_and_others_are_not() -> None:
    assert is_installed("pytest") and not is_installed("no_such_package_at_all")


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="scheduling policies are Linux's")
def test_the_server_waits_for_a_core_and_a_worker_that_it_starts_does_not() -> None:
    shown = subprocess.run([sys.executable, "-c", POLICIES], capture_output=True, text=True, check=True).stdout.split()
    assert [int(each) for each in shown] == [os.SCHED_BATCH, os.SCHED_BATCH, os.SCHED_OTHER]
