"""SIGTERM to a run at work: told as what it is where nobody asked, and as a person's stop where one did."""

import os
import signal

import pytest
from worker_runs import AtWork, add_run, log_of, record_of, start_worker, steps_of, wait_for

from studio.schema.dataset import DatasetRecord
from studio.store import Home
from studio.worker.words import ENDED_FROM_OUTSIDE

LONG = {"precision": "float32", "learning_rate": 1e-2, "max_length": 96, "epochs": 200, "eval_steps": 20,
        "early_stopping_patience": 0}  # fmt: skip


def at_work(home: Home, data: DatasetRecord, llama: str) -> tuple[str, AtWork]:
    """A run among its steps, and its worker."""
    run = add_run(home, data, llama, **LONG)
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) >= 3)
    return run, worker


@pytest.mark.parametrize(("asked", "why"), [(False, ENDED_FROM_OUTSIDE), (True, "on request")])
def test_a_run_says_whether_a_person_or_a_signal_alone_stopped_it(
    home: Home, data: DatasetRecord, llama: str, asked: bool, why: str
) -> None:
    run, worker = at_work(home, data, llama)
    if asked:
        home.workspace().runs.wish_stop(run, "keep")
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(30) == 0, log_of(home, run)
    record = record_of(home, run)
    assert (record.status, record.has_result) == ("stopped", True)
    assert record.reason.startswith(f"Stopped {why}") and "is kept" in record.reason
    assert ("SIGTERM" in log_of(home, run)) is not asked
