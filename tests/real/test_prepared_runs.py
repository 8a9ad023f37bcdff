"""A run that is made ready before it is asked for: it learns the same, and whatever else is asked for begins anew."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from small_trainings import chat_job, label_job, losses, run, tiny_bert, tiny_llama
from worker_runs import add_run, log_of, prepared_worker, record_of, steps_of, wait_for

from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.events import AnyEvent, EvaluationEvent, HeldEvent, PhaseEvent, ReplyEvent
from studio.schema.models import ModelInfo
from studio.schema.runs import RunSpec
from studio.services.runners.worker_processes import WorkerProcesses
from studio.store import Home
from studio.training.loop.loading import TrainingJob
from studio.training.loop.sliced_validation import SlicedValidation
from studio.worker.make_ready import PreparedRun

PROMPTS = ("Where is my parcel?", "Do you ship to Norway?")
CASES: dict[str, Callable[[Path, ModelInfo], TrainingJob]] = {
    "chat, with dropout and prompts": lambda place, info: chat_job(
        place, info, test_prompts=PROMPTS, lora_dropout=0.1, eval_steps=4
    ),
    "chat, nothing to check by": lambda place, info: chat_job(place, info, held=0, lora_dropout=0.1),
    "labels, all weights": lambda place, info: label_job(place, info, test_prompts=PROMPTS, eval_steps=6),
}


def model_for(case: str, place: Path) -> ModelInfo:
    return tiny_bert(place) if case.startswith("labels") else tiny_llama(place)


def told(said: list[AnyEvent]) -> list[Any]:
    """All that does not depend on a clock."""
    kept = [event for event in said if isinstance(event, EvaluationEvent | HeldEvent)]
    replies = [(event.step, event.who, event.text) for event in said if isinstance(event, ReplyEvent)]
    kinds = [event.kind for event in said if not (isinstance(event, PhaseEvent) and event.done is not None)]
    return [kinds, losses(said), kept, replies]


def standing(job: TrainingJob) -> PreparedRun:
    ready = PreparedRun(job)
    wait_for(lambda: ready.is_ready)
    return ready


def let_go(ready: PreparedRun, job: TrainingJob) -> list[AnyEvent]:
    """What it says when this is asked for."""
    said: list[AnyEvent] = []
    ready.train(job, said.append, lambda: None)
    return said


@pytest.mark.parametrize("case", CASES)
def test_it_says_and_learns_what_it_would_have_said_and_learned(case: str, tmp_path: Path) -> None:
    info, make = model_for(case, tmp_path / "base"), CASES[case]
    _, usual = run(make(tmp_path / "usual", info))
    ready = standing(make(tmp_path / "ready", info))
    assert not list((tmp_path / "ready" / "checkpoints").iterdir()), "it has taken no step"
    assert told(let_go(ready, make(tmp_path / "ready", info))) == told(usual)


def test_its_name_makes_no_difference(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "base")
    ready, other = standing(chat_job(tmp_path / "run", info)), chat_job(tmp_path / "run", info, name="mine")
    stood = ready._outcome
    let_go(ready, other)
    assert stood.done() and stood.result().stopped is None, "the one that stood there went on"


OTHERS: dict[str, Callable[[TrainingJob], TrainingJob]] = {
    "a row fewer": lambda job: replace(job, train_rows=job.train_rows[1:]),
    "a setting": lambda job: replace(job, config=job.config.model_copy(update={"lora_rank": 2})),
    "prompts": lambda job: replace(job, config=job.config.model_copy(update={"test_prompts": PROMPTS})),
    "another run": lambda job: replace(job, folder=job.folder.with_name("another")),
}


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What a run tells that nobody has made ready."""
    place = tmp_path_factory.mktemp("usual")
    _, said = run(chat_job(place / "run", tiny_llama(place / "base"), epochs=1, lora_dropout=0.1))
    return told(said)


@pytest.mark.parametrize("what", OTHERS)
def test_anything_else_begins_anew_and_learns_what_it_would_have_learned(
    what: str, usual: list[Any], tmp_path: Path
) -> None:
    wanted = chat_job(tmp_path / "run", tiny_llama(tmp_path / "base"), epochs=1, lora_dropout=0.1)
    assert told(let_go(standing(OTHERS[what](wanted)), wanted)) == usual


def test_the_first_validation_is_taken_from_the_cache_whatever_the_method_and_other_rows_are_validated_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []
    output = SlicedValidation.output

    def counted(sliced: SlicedValidation, rows: int, compute: Callable[[], Any]) -> Any:
        before = len(sliced.outputs)
        result = output(sliced, rows, compute)
        looked.append(len(sliced.outputs) - before)
        return result

    monkeypatch.setattr(SlicedValidation, "output", counted)
    info = tiny_llama(tmp_path / "base")

    def first_validation(name: str, **settings: Any) -> tuple[EvaluationEvent, int]:
        looked.clear()
        job = replace(chat_job(tmp_path / name, info, epochs=1, **settings), token_cache=tmp_path / "cache")
        _, said = run(job)
        return next(event for event in said if isinstance(event, EvaluationEvent)), sum(looked)

    first, batches = first_validation("first")
    again, none = first_validation("again", learning_rate=1e-3, weight_decay=0.1, max_steps=2, seed=7)
    other_method, none_either = first_validation("full", method="full", learning_rate=1e-3)
    assert batches > 0 and none == none_either == 0
    for later in (again, other_method):
        assert (later.step, later.eval_loss, later.metrics) == (0, first.eval_loss, first.metrics)
    others = {"fewer rows": {"eval_rows": 3}, "cut": {"max_length": 48}, "precision": {"precision": "bfloat16"}}
    for name, other in others.items():
        assert first_validation(name, **other)[1] > 0, name


def test_other_weights_in_the_same_place_begin_anew(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "base")
    job = chat_job(tmp_path / "run", info, epochs=1)
    ready = standing(job)
    weights = tmp_path / "base" / "model.safetensors"
    os.utime(weights, (1, 1))
    assert not ready._matches(job)
    ready.drop()


def test_one_that_is_still_being_made_ready_goes_on_from_where_it_is(usual: list[Any], tmp_path: Path) -> None:
    job = chat_job(tmp_path / "run", tiny_llama(tmp_path / "base"), epochs=1, lora_dropout=0.1)
    assert told(let_go(PreparedRun(job), job)) == usual


def test_what_went_wrong_while_nobody_asked_is_tried_again_and_told_then(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "base")
    job = chat_job(tmp_path / "run", info, max_length=16)  # of no row is a reply left
    ready = PreparedRun(job)
    wait_for(ready._outcome.done)
    with pytest.raises(StudioError, match="No training row is left"):
        let_go(ready, job)


def test_one_that_nobody_wants_ends_and_its_peak_is_forgotten(tmp_path: Path) -> None:
    from studio.machine.memory import peak_memory

    ready = standing(chat_job(tmp_path / "run", tiny_llama(tmp_path / "base")))
    taken = bytearray(os.urandom(1 << 20) * 300)
    before = peak_memory([os.getpid()])
    del taken
    ready.drop()
    assert peak_memory([os.getpid()]) < before - (200 << 20)
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


# --- the process ---


@pytest.fixture
def runner(home: Home) -> Iterator[WorkerProcesses]:
    made = WorkerProcesses(home.root)
    yield made
    made.close()


def guess(home: Home, data: DatasetRecord, model: str, **settings: Any) -> RunSpec:
    """What a run is that may be started."""
    spec = home.workspace().runs.spec(made := add_run(home, data, model, **settings))
    home.queue.remove(made)
    home.workspace().runs.delete(made)
    return spec


def process_of(runner: WorkerProcesses) -> psutil.Process:
    assert runner._prepared is not None
    return psutil.Process(runner._prepared.pid)


def holds(process: psutil.Process, home: Home) -> bool:
    """Whether it has looked into this home: it has a guess."""
    return any(str(home.root) in file.path for file in process.open_files())


def test_the_prepared_process_makes_ready_what_it_is_told_and_takes_it_under_the_id_set_aside(
    home: Home, data: DatasetRecord, llama: str, runner: WorkerProcesses
) -> None:
    spec = guess(home, data, llama, precision="float32", max_length=96, epochs=1, test_prompts=PROMPTS)
    runner.prepare_run("default", guess(home, data, llama, precision="float32", epochs=3), "20200101-first")
    runner.prepare_run("default", spec, "20200101-later")
    place = home.workspace().runs.folder("20200101-first").checkpoints
    wait_for(place.is_dir)
    process = process_of(runner)
    assert runner.claim_prepared_run("other") == "" and runner.claim_prepared_run("default") == "20200101-first"
    assert runner.claim_prepared_run("default") == "", "it is given once"
    run = home.workspace().runs.create(spec, run="20200101-first").id
    home.queue.enqueue("default", run)
    runner.start("default", run, home.workspace().runs.folder(run).log)
    wait_for(lambda: record_of(home, run).ended)
    assert record_of(home, run).status == "finished", log_of(home, run)
    assert home.workspace().runs.worker(run).pid == process.pid
    kinds = [each.event.kind for each in home.workspace().events.after(run)]
    assert kinds.count("reply") >= 2 * len(PROMPTS) and kinds[kinds.index("step") - 1] == "phase"
    assert len(steps_of(home, run)) == record_of(home, run).steps


def test_somebody_elses_run_has_the_machine_and_the_process_is_as_it_was_before(
    home: Home, data: DatasetRecord, llama: str, runner: WorkerProcesses
) -> None:
    spec = guess(home, data, llama, precision="float32", max_length=96, epochs=1)
    runner.prepare_run("default", spec, "20200101-first")
    wait_for(home.workspace().runs.folder("20200101-first").checkpoints.is_dir)
    process = process_of(runner)
    assert holds(process, home)
    other = add_run(home, data, llama)
    wait_for(lambda: not holds(process, home))
    wait_for(lambda: "--prepared" in process.cmdline())  # for a moment, while it begins anew, it has no name
    runner.prepare_run("default", spec, "20200101-first")
    wait_for(lambda: holds(process, home))
    home.queue.remove(other)


def told_by_hand(worker: "subprocess.Popen[bytes]", home: Home, spec: RunSpec) -> Path:
    """A guess, as the services tell it; where its run would keep its checkpoints."""
    line = {
        "home": str(home.root),
        "workspace": "default",
        "run": "20200101-first",
        "spec": spec.model_dump(mode="json", exclude_defaults=True),
    }
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(line).encode() + b"\n")
    worker.stdin.flush()
    return home.workspace().runs.folder("20200101-first").checkpoints


def test_a_run_that_nobody_starts_is_let_go_after_a_while(home: Home, data: DatasetRecord, llama: str) -> None:
    command = [sys.executable, "-m", "tests.hurried_worker"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    process = psutil.Process(worker.pid)
    wait_for(told_by_hand(worker, home, guess(home, data, llama, precision="float32", max_length=96)).is_dir)
    wait_for(lambda: process.cmdline()[-2:] == ["studio.worker", "--prepared"])  # it listens: see the test before
    worker.kill()
    worker.communicate()


def test_nothing_is_made_ready_beside_a_model_that_answers(home: Home, data: DatasetRecord, llama: str) -> None:
    worker = prepared_worker()
    home.queue.host_started(os.getpid())
    place = told_by_hand(worker, home, guess(home, data, llama, precision="float32", max_length=96))
    wait_for(lambda: holds(psutil.Process(worker.pid), home))
    time.sleep(2)
    assert not place.exists()
    home.queue.host_idle(os.getpid())
    wait_for(place.is_dir)
    worker.kill()
    worker.communicate()


def test_a_process_that_does_not_listen_is_replaced(home: Home, data: DatasetRecord, llama: str, afresh: None) -> None:
    runner = WorkerProcesses(home.root)
    runner.prepare()
    first = process_of(runner)
    first.suspend()
    long = guess(home, data, llama, test_prompts=("How? " * 400,) * 3)
    for _ in range(20):  # more than a pipe holds
        runner.prepare_run("default", long, "20200101-first")
    runner.close()
    assert not first.is_running() or first.status() == psutil.STATUS_ZOMBIE
    assert not [each for each in psutil.Process().children() if "--prepared" in each.cmdline()]


def test_a_prepared_process_ends_when_its_run_left_the_queue_in_the_moment_of_start(
    home: Home, data: DatasetRecord, llama: str
) -> None:
    worker = prepared_worker()
    wait_for(told_by_hand(worker, home, guess(home, data, llama, precision="float32", max_length=96)).is_dir)
    wait_for(lambda: psutil.Process(worker.pid).cpu_percent(1.0) < 2)  # it waits before the first step
    worker.communicate(f"{home.root}\tdefault\t20200101-first\n".encode(), timeout=60)
    assert worker.returncode == 2


def test_it_goes_with_the_server_in_the_middle_of_making_ready(home: Home, data: DatasetRecord, llama: str) -> None:
    worker = prepared_worker()
    wait_for(told_by_hand(worker, home, guess(home, data, llama, precision="float32", max_length=96)).is_dir)
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(60) == 0
