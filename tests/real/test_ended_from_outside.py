"""A signal to a run at work: SIGTERM is told as what it is, and after SIGKILL the best step can still be kept."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from worker_runs import add_run, log_of, record_of, start_worker, steps_of, wait_for

from studio.schema.dataset import DatasetRecord
from studio.services.context import Context
from studio.services.runners import Runners
from studio.services.runs.lifecycle import RunLifecycle
from studio.services.runs.reconcile import reconcile
from studio.store import Home
from studio.training.loop.checkpoints import Checkpoints
from studio.worker.messages import ENDED_FROM_OUTSIDE

LONG = {
    "precision": "float32",
    "learning_rate": 1e-2,
    "max_length": 96,
    "epochs": 200,
    "eval_steps": 20,
    "early_stopping_patience": 0,
}


def at_work(home: Home, data: DatasetRecord, llama: str) -> tuple[str, "subprocess.Popen[bytes]"]:
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
        home.workspace().runs.request_stop(run, "keep")
    os.kill(worker.pid, signal.SIGTERM)
    assert worker.wait(30) == 0, log_of(home, run)
    record = record_of(home, run)
    assert (record.status, record.has_result) == ("stopped", True)
    assert (
        record.reason.startswith("Stopped at step")
        and f" {why}. The " in record.reason
        and "is the result" in record.reason
    )
    assert ("SIGTERM" in log_of(home, run)) is not asked


class Remembering:
    """A runner that keeps the processes of its workers."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.workers: list[subprocess.Popen[bytes]] = []

    def watch(self, entries: object) -> None:
        pass

    def start(self, workspace: str, run: str, log: Path) -> None:
        self.workers.append(start_worker(self.home, run))


def test_a_killed_run_waits_for_its_turn_and_ends_with_its_best_step_without_another_one(
    home: Home, data: DatasetRecord, llama: str
) -> None:
    run = add_run(home, data, llama, **LONG)
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) >= 25)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(10)
    remembering, folder = Remembering(home), home.workspace().runs.folder(run)
    processes: Any = remembering
    runs = RunLifecycle(Context(home, home.workspace()), Runners(home, processes), processes)
    reconcile(runs)
    assert runs.get(run).status == "interrupted"
    steps, kept = len(steps_of(home, run)), runs.progress(run).keeps
    assert kept is not None
    other = add_run(home, data, llama)
    home.queue.claim(other, os.getpid())
    assert home.queue.try_start(other)
    runs.finish(run)
    wait_for(lambda: "Waiting" in log_of(home, run))
    home.queue.remove(other)
    assert remembering.workers[0].wait(60) == 0, log_of(home, run)
    record = record_of(home, run)
    assert (record.status, record.has_result, record.best_step) == ("stopped", True, kept)
    assert f"step {kept}" in record.reason and "is the result" in record.reason
    assert len(steps_of(home, run)) == steps, "it learned on"
    states = [each.event.status for each in runs.event_store.after(run, kinds=("state",))]  # type: ignore[union-attr]
    assert states[-3:] == ["queued", "starting", "stopped"], "nobody waits for it to stop in time"
    weights = "adapter_model.safetensors"
    best = Checkpoints(folder.checkpoints).path(kept)
    assert (folder.adapter / weights).read_bytes() == (best / weights).read_bytes()
