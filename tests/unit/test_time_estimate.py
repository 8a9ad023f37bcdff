"""The time of a plan: a range from earlier runs on this machine and from its load now."""

import math
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from studio.api import Studio
from studio.machine.load import Sample, sample, share_of, used_cores
from studio.schema.events import StepEvent
from studio.schema.models import Estimate
from studio.schema.requests import RunRequest
from studio.services.planning.experience import experience
from studio.training.planning.time_estimate import Experience, spread, with_range

COST = Estimate(
    fits=True,
    memory_bytes=1,
    available_bytes=2,
    seconds=300,
    steps=10,
    epochs=1,
    effective_batch_size=4,
    trainable_parameters=1,
    total_parameters=1,
)
NOW = 123


@pytest.fixture
def studio(tmp_path, monkeypatch):
    """A studio on a machine where nothing else runs."""
    monkeypatch.setattr("studio.services.planning.experience.free_share", lambda own: 1.0)
    return Studio(tmp_path / "home")


def trained(studio: Studio, tokens_per_second: float, processor: float, actual: float = 1.0) -> None:
    """A finished run that a worker of this machine made, at this speed and with this share of the cores."""
    data = next(iter(studio.datasets.all()), None) or studio.datasets.add_sample("support-tone")
    runs = studio.context.workspace.runs
    spec = studio.planning.spec_to_start(RunRequest(dataset=data.id, model="starter-chat"))
    run = runs.create(spec).id
    runs.begin(run, NOW)
    for step in range(1, 6):
        event = StepEvent(
            step=step,
            loss=1.0,
            learning_rate=1e-4,
            rows_per_second=1.0,
            memory_bytes=1,
            tokens_per_second=tokens_per_second,
            processor=processor,
        )
        studio.context.workspace.events.append(run, event)
    runs.beat(run, "saving", 5, 5, spec.seconds * actual)
    runs.set_status(run, "finished")


def plan(studio: Studio) -> Estimate:
    data = next(iter(studio.datasets.all()), None) or studio.datasets.add_sample("support-tone")
    return studio.planning.plan(RunRequest(dataset=data.id, model="starter-chat")).estimate


def test_the_speed_of_an_earlier_run_of_the_same_kind_replaces_the_formula(studio):
    before = plan(studio)
    assert "from a formula" in before.time_because[0]
    trained(studio, tokens_per_second=40.0, processor=1.0)
    slow = plan(studio)
    assert slow.seconds > 2 * before.seconds
    assert "1 earlier run of this model, method and task" in slow.time_because[0]


def test_a_run_that_had_half_of_the_cores_counts_as_twice_as_fast(studio):
    trained(studio, tokens_per_second=100.0, processor=0.5)
    config = studio.planning.plan(RunRequest(model="starter-chat", task="chat")).plan.config
    known = experience(studio.context, config, studio.machine.facts())
    assert known.tokens_per_second == pytest.approx(200.0) and known.runs == 1


def test_runs_with_another_method_or_from_another_machine_do_not_count(studio):
    trained(studio, tokens_per_second=40.0, processor=1.0)
    config = studio.planning.plan(RunRequest(model="starter-chat", task="chat")).plan.config
    facts = studio.machine.facts()
    assert experience(studio.context, config.model_copy(update={"method": "full"}), facts).runs == 0
    assert experience(studio.context, config.model_copy(update={"precision": "float16"}), facts).runs == 0
    with studio.context.workspace.db.write() as connection:
        connection.execute("UPDATE runs SET pid = NULL")  # as for a run that was imported
    assert experience(studio.context, config, facts) == Experience()


def test_the_range_follows_how_far_earlier_runs_were_from_their_estimates(studio):
    for actual in (1.05, 0.95, 1.1, 1.0):
        trained(studio, 40.0, 1.0, actual)
    config = studio.planning.plan(RunRequest(model="starter-chat", task="chat")).plan.config
    ratios = experience(studio.context, config, studio.machine.facts()).ratios
    assert sorted(ratios) == pytest.approx([0.95, 1.0, 1.05, 1.1])
    assert spread(ratios) < spread(()) < spread((3.0, 4.0, 0.2))
    assert "the last 4 runs of any kind here" in plan(studio).time_because[-1]


def test_a_busy_machine_makes_the_time_longer_and_the_plan_says_so():
    free, busy = with_range(COST, 300, Experience()), with_range(COST, 300, Experience(free_share=0.25))
    assert busy.seconds == 4 * free.seconds == 1200
    assert busy.high_seconds == pytest.approx(4 * free.high_seconds, abs=1)
    assert busy.low_seconds <= 300, "the other programs may end"
    assert "about 25% of the CPU" in busy.time_because[1] and len(free.time_because) == 2


def test_a_measured_time_holds_for_the_load_it_was_measured_with():
    probed = COST.model_copy(update={"probed": True})
    assert with_range(probed, 300, Experience(free_share=0.25)).seconds == 300


def test_the_range_holds_nine_of_ten_runs_that_vary_as_the_earlier_ones():
    numbers = random.Random(0)
    held = 0
    for _ in range(1000):
        runs = [math.exp(numbers.gauss(0, 0.3)) for _ in range(21)]
        cost = with_range(COST, 300, Experience(ratios=tuple(runs[:20])))
        held += cost.low_seconds <= 300 * runs[20] <= cost.high_seconds
    assert 880 <= held <= 970


def test_the_load_of_other_programs_is_seen_and_the_studios_own_is_not():
    first = Sample(0.0, 100.0, {1: 5.0})
    last = Sample(2.0, 103.0, {1: 6.0, 2: 50.0})
    assert used_cores(first, last) == (1.0, 0.5)
    assert share_of(2, 0.0, 0.0) == 1.0
    assert share_of(2, 2.0, 2.0) == 0.5
    assert share_of(4, 1.0, 1.0) == pytest.approx(0.8)
    assert share_of(2, 2.0, 5.0) == pytest.approx(2 / 7)


def test_a_program_that_computes_is_measured_as_load_unless_it_belongs_to_the_studio():
    program = "import time; end = time.monotonic() + 10\nwhile time.monotonic() < end: pass"
    start = f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} > /dev/null 2>&1 & echo $!"
    pid = int(subprocess.run(["sh", "-c", start], capture_output=True, text=True, check=True).stdout)
    try:
        first = sample([pid])
        time.sleep(1)
        last = sample([pid])
        stranger = replace(last, own={other: used for other, used in last.own.items() if other != pid})
        others, own = used_cores(first, last)
        assert used_cores(first, stranger)[0] > others + 0.02, "it counts where it is not the studio's"
        assert own > 0.02
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_prepared_run_stays_prepared_when_the_load_changes(studio, monkeypatch):
    data, prepared = studio.datasets.add_sample("support-tone"), []
    monkeypatch.setattr(studio.shared.processes, "prepare_run", lambda here, spec, run: prepared.append(spec))
    for share in (1.0, 0.3):
        monkeypatch.setattr("studio.services.planning.experience.free_share", lambda own, share=share: share)
        spec = studio.planning.spec_to_start(RunRequest(dataset=data.id, model="starter-chat"))
        studio.runs.prepare_worker(spec)
    assert len(prepared) == 2 and prepared[0] == prepared[1]
