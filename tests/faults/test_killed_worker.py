"""The worker killed at each of its moments: no event lost, no run stuck, the same losses as if nothing had happened."""

import os
import signal
import subprocess
import sys

import pytest
from worker_runs import add_run, log_of, record_of, steps_of, wait_for

from studio.api import Studio
from studio.schema.dataset import DatasetRecord
from studio.store import Home
from tests.forked import ROOT

from .conftest import ALL, SETTINGS, Told
from .killed import WORKER
from .table import KILLED_WORKER

SAMPLE = (
    "loading the model",
    "during a validation",
    "a checkpoint half written",
    "result saved, end of the run not saved",
)


def killed_at(moment: str, home: Home, run: str) -> list[int]:
    """The events that a worker had acknowledged when it was killed there."""
    log = home.workspace().runs.folder(run).log
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.killed", "worker", moment, str(home.root), run],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=out,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            start_new_session=True,
        )
    said, _ = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL, (process.returncode, log_of(home, run))
    return [int(line) for line in said.decode().split() if line.isdigit()]


@pytest.mark.parametrize("moment", WORKER if ALL else SAMPLE)
def test_a_worker_killed_at_this_moment_costs_nothing_but_time(
    moment: str, home: Home, data: DatasetRecord, llama: str, unharmed: dict[int, float], told: Told
) -> None:
    run = add_run(home, data, llama, **SETTINGS)
    acknowledged = killed_at(moment, home, run)
    studio = Studio(home.root)
    try:
        kept = [each.id for each in studio.runs.events(run)]
        assert set(acknowledged) <= set(kept), "an event was acknowledged and lost"
        studio.reconcile()
        record = studio.runs.get(run)
        if record.status == "queued":  # it had not begun: the next to reconcile gives it another worker
            with home.queue.db.write() as connection:
                connection.execute("UPDATE entries SET called = ''")
            studio.reconcile()
            went_on = "another worker took it"
        else:
            assert record.status == "interrupted", record
            words = studio.runs.resume(run).reason
            said = studio.runs.events(run, kinds=("state",))[-1].event.message  # type: ignore[union-attr]
            went_on = said.removesuffix(".") or words
        wait_for(
            lambda: studio.runs.get(run).status not in ("queued", "starting", "training", "stopping"), studio=studio
        )
        done = record_of(home, run)
        assert done.status == "finished", (done, log_of(home, run))
        losses = {event.step: event.loss for event in steps_of(home, run)}
        assert losses == pytest.approx({step: loss for step, loss in unharmed.items() if step}, abs=1e-5)
        for event in steps_of(home, run):  # those that were said twice were said alike
            assert event.loss == pytest.approx(unharmed[event.step], abs=1e-5)
        assert done.metrics["eval_loss"] == pytest.approx(unharmed[0], abs=1e-5)
        wait_for(lambda: home.queue.entries() == [])
        assert studio.runs.get(run).has_result
        folder = home.workspace().runs.folder(run)
        assert not list(folder.root.rglob("*.new")), "nothing half written is left"
        told(KILLED_WORKER, moment, f"{len(acknowledged)} events, 0 lost; {went_on}; the same losses")
    finally:
        studio.close()
