"""Commands about runs that are made and not trained: the queue, pausing, running again, doing what the coach says."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.events import Action, AdviceEvent
from studio.schema.host import RowsRef
from studio.schema.requests import RunRequest
from studio.schema.runs import RunRecord
from studio.services.planning.lengths import LengthCache, Measured
from studio.services.runners.worker_processes import WorkerProcesses
from tests.hubserver import tiny_folder
from tests.said import Call, Said, caller

ROWS = "aa,bb\n" + "".join(f"How is number {n}?,It is fine as number {n}.\n" for n in range(30))
ROLES = {"aa": "prompt", "bb": "reply"}
STARTED: list[str] = []
"""Runs for which a worker was asked."""


class NoWorkers(WorkerProcesses):
    """A runner that only remembers which runs it was asked to start."""

    def start(self, workspace: str, run: str, log: Path) -> None:
        STARTED.append(run)


class NoHost(LengthCache):
    """Lengths without a model host, which would count them: each row has 12 tokens."""

    def get(self, key: tuple, rows: RowsRef, **request: Any) -> Measured:
        return Measured(list(range(1, 31)), [12] * 30, 0.5)


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """A studio whose runs wait without a worker, as the commands' own studios do."""
    monkeypatch.setattr("studio.api.WorkerProcesses", NoWorkers)
    monkeypatch.setattr("studio.api.LengthCache", NoHost)
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    STARTED.clear()
    made = Studio(tmp_path / "home")
    yield made
    made.close()


@pytest.fixture
def call(studio: Studio, capfd: pytest.CaptureFixture[str]) -> Call:
    calling = caller(capfd)

    def run_it(*arguments: str | Path) -> Said:
        said = calling(*arguments)
        assert "unexpected error" not in said.err
        return said

    return run_it


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model's folder, whole."""
    return tiny_folder(tmp_path / "tiny")


@pytest.fixture
def made(studio: Studio, model: Path) -> Callable[..., RunRecord]:
    """Makes a run of a name, which waits; its columns say nothing, so that it must be told which is which."""
    data = studio.datasets.add_text(ROWS, "numbers").id

    def start(name: str = "one", **settings: Any) -> RunRecord:
        return studio.runs.start(
            RunRequest(dataset=data, model=str(model), task="chat", settings=settings, name=name, roles=ROLES)
        )

    return start


Made = Callable[..., RunRecord]


@pytest.fixture
def at_work(studio: Studio) -> Iterator[Callable[[RunRecord], RunRecord]]:
    """Gives a run to a process that lives and does nothing."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(record: RunRecord) -> RunRecord:
        code = "import time; time.sleep(60)"
        processes.append(subprocess.Popen([sys.executable, "-c", code], start_new_session=True))
        studio.context.workspace.runs.begin(record.id, processes[-1].pid)
        return studio.runs.get(record.id)

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def finished(studio: Studio, record: RunRecord) -> RunRecord:
    """The run as one that has left a result."""
    runs = studio.context.workspace.runs
    adapter = runs.folder(record.id).root / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    runs.set_status(record.id, "finished", has_result=True, best_step=40)
    studio.home.queue.remove(record.id)
    return studio.runs.get(record.id)


# --- the queue ---


@pytest.mark.parametrize(("way", "after"), [("first", "cab"), ("up", "acb"), ("down", "abc"), ("last", "abc")])
def test_a_run_that_waits_is_given_another_place(call: Call, made: Made, studio: Studio, way: str, after: str) -> None:
    names = {made(name).id: name for name in "abc"}
    last = next(run for run, name in names.items() if name == "c")
    said = call("queue", last, "--move", way, "--json")
    assert said.status == 0
    assert "".join(each["name"] for each in said.document) == after
    assert [each["before"] for each in said.document] == [0, 1, 2]
    assert "".join(names[record.id] for record in studio.runs.queued()) == after
    lines = call("queue").out.splitlines()
    assert lines[0].split() == ["Run", "Name", "Status"]
    assert [line.split()[1] for line in lines[1:]] == list(after)


def test_a_move_that_can_not_be_is_refused_and_nothing_is_moved(call: Call, made: Made, studio: Studio) -> None:
    first, second = made("a"), made("b")
    order = [record.id for record in studio.runs.queued()]
    said = call("queue", second.id, "--move", "sideways")
    assert said.status == 2 and "up, down, first, last" in said.err
    for half in (["queue", second.id], ["queue", "--move", "up"]):
        said = call(*half)
        assert said.status == 2 and "give both its id and --move" in said.err
    assert [record.id for record in studio.runs.queued()] == order
    call("pause", first.id)
    said = call("queue", first.id, "--move", "last")
    assert said.status == 2 and "is not queued" in said.err and "paused" in said.err


def test_of_an_empty_queue_it_is_said_that_nothing_waits(call: Call) -> None:
    assert "No run is running or queued." in call("queue").out
    assert call("queue", "--json").document == []


# --- pausing ---


def test_a_run_that_waits_is_paused_and_goes_back_into_the_queue(call: Call, made: Made, studio: Studio) -> None:
    run_id = made().id
    said = call("pause", run_id)
    assert said.status == 0 and not said.out
    assert f"{run_id} is paused. Resume it with: studio resume {run_id}" in said.err
    assert studio.runs.get(run_id).status == "paused" and studio.runs.queued() == []
    STARTED.clear()
    said = call("resume", "last", "--detach")
    assert said.status == 0 and said.out.splitlines()[-1] == run_id
    assert studio.runs.get(run_id).status == "queued" and STARTED == [run_id]
    assert call("pause", "last", "--json").document == {"id": run_id, "status": "paused"}


def test_a_run_at_work_is_asked_to_pause_after_its_step(
    call: Call, made: Made, studio: Studio, at_work: Callable[[RunRecord], RunRecord]
) -> None:
    run_id = at_work(made()).id
    said = call("pause", run_id)
    assert said.status == 0 and "pauses after this step and saves a checkpoint" in said.err
    assert studio.runs.get(run_id).status == "stopping"
    assert studio.context.workspace.runs.stop_wish(run_id) == "pause"


def test_a_run_that_has_ended_can_not_be_paused(call: Call, made: Made, studio: Studio) -> None:
    record = finished(studio, made())
    said = call("pause", record.id)
    assert said.status == 2 and "can't be paused" in said.err and "finished" in said.err


# --- again ---


def test_a_run_is_repeated_with_a_change_and_with_all_else_as_it_was(call: Call, made: Made, studio: Studio) -> None:
    before = made(lora_rank=4, epochs=3)
    said = call("repeat", before.id, "--learning-rate", "0.001", "--detach")
    assert said.status == 0
    made_id = said.out.splitlines()[-1]
    assert made_id != before.id and STARTED == [before.id], "the next one has no process while it waits"
    assert studio.home.queue.position(made_id) == 1
    assert "Run again with the settings of one, but learning rate 0.001 instead of 0.0005" in said.err
    old, new = studio.runs.spec(before.id), studio.runs.spec(made_id)
    assert new.config == old.config.model_copy(update={"learning_rate": 0.001, "name": "one 2"})
    assert (new.dataset, new.dataset_version, new.data, new.splits) == (
        old.dataset,
        old.dataset_version,
        old.data,
        old.splits,
    )


def test_a_repeat_may_have_another_method_and_name(call: Call, made: Made, studio: Studio) -> None:
    made(lora_rank=4)
    said = call("repeat", "last", "--method", "ia3", "--name", "other", "--detach", "--json")
    assert said.status == 0 and said.document["status"] == "queued"
    config = studio.runs.spec(said.document["id"]).config
    assert (config.method, config.name) == ("ia3", "other")
    assert "method ia3 instead of lora" in said.err


def test_a_repeat_with_a_setting_that_can_not_be_makes_no_run(call: Call, made: Made, studio: Studio) -> None:
    before = made()
    said = call("repeat", before.id, "--learning-rate", "7", "--detach")
    assert said.status == 2 and "learning rate" in said.err and "at most 0.1" in said.err
    assert [record.id for record in studio.runs.all()] == [before.id]


def test_a_finished_run_is_extended_by_some_passes(call: Call, made: Made, studio: Studio) -> None:
    before = finished(studio, made(lora_rank=4, epochs=3))
    said = call("extend", before.id, "--epochs", "2", "--name", "more", "--detach")
    assert said.status == 0
    assert "Continues from the result of one (step 40) for 2 more epochs" in said.err
    config = studio.runs.spec(said.out.splitlines()[-1]).config
    assert (config.start_from, config.epochs, config.name, config.lora_rank) == (before.id, 2, "more", 4)


def test_a_run_without_a_result_is_not_extended(call: Call, made: Made, studio: Studio) -> None:
    before = made()
    said = call("extend", before.id, "--detach")
    assert said.status == 2 and "has no result to continue from" in said.err and "Resume" in said.err
    assert [record.id for record in studio.runs.all()] == [before.id]


# --- the coach ---

ADVICE = AdviceEvent(
    step=20,
    title="It learns by heart",
    message="Validation loss rises.",
    rule="overfitting",
    actions=(
        Action(kind="stop", label="Stop and keep the best"),
        Action(kind="repeat", label="Again with a lower rate", changes={"learning_rate": 0.0001}),
        Action(kind="open", label="Look at the rows", tab="data"),
    ),
)


def test_the_first_proposal_of_the_coach_stops_a_run_at_work(
    call: Call, made: Made, studio: Studio, at_work: Callable[[RunRecord], RunRecord]
) -> None:
    record = at_work(made())
    studio.context.workspace.events.append(record.id, ADVICE)
    told = call("coach", record.id)
    assert "It learns by heart (overfitting)" in told.out and "2. Again with a lower rate" in told.out
    said = call("coach", record.id, "--do", "overfitting")
    assert said.status == 0 and f"{record.id} stops and keeps the best checkpoint." in said.err
    assert studio.runs.get(record.id).status == "stopping"
    assert studio.context.workspace.runs.stop_wish(record.id) == "keep"


def test_another_proposal_of_the_coach_begins_a_run_with_its_change(call: Call, made: Made, studio: Studio) -> None:
    record = made()
    studio.context.workspace.events.append(record.id, ADVICE)
    said = call("coach", record.id, "--do", "overfitting", "--choice", "2", "--detach")
    assert said.status == 0
    new = said.out.splitlines()[-1]
    assert STARTED == [record.id] and studio.runs.spec(new).config.learning_rate == 0.0001
    assert studio.home.queue.position(new) == 1
    assert studio.runs.get(record.id).status == "queued", "the run itself goes on"


@pytest.mark.parametrize(
    ("rule", "choice", "words"),
    [
        ("overfitting", "3", "needs a person"),
        ("overfitting", "4", "has no action 4"),
        ("overfiting", "1", "overfitting"),
    ],
)
def test_what_the_coach_does_not_propose_is_refused(
    call: Call, made: Made, studio: Studio, rule: str, choice: str, words: str
) -> None:
    record = made()
    studio.context.workspace.events.append(record.id, ADVICE)
    said = call("coach", record.id, "--do", rule, "--choice", choice, "--detach")
    assert said.status == 2 and words in said.err
    assert [each.id for each in studio.runs.all()] == [record.id]


# --- a run's own config.yaml ---


def test_the_config_of_a_run_goes_back_through_train_and_asks_for_the_same_run(
    call: Call, made: Made, studio: Studio
) -> None:
    before = made("first", lora_rank=4, epochs=3, keep_best=False, seed=7)
    old = studio.runs.spec(before.id)
    path = studio.context.workspace.runs.folder(before.id).config
    said = call("train", old.dataset, "--config", path, "--detach")
    assert said.status == 0, said.err
    new = studio.runs.spec(said.out.splitlines()[-1])
    assert new.config == old.config.model_copy(update={"name": "first 2"})
    assert new.data == old.data and new.data.roles == ROLES
    assert (new.dataset, new.splits, new.memory_bytes) == (old.dataset, old.splits, old.memory_bytes)
    flag = call("train", old.dataset, "--config", path, "--epochs", "1", "--name", "short", "--detach", "--json")
    assert flag.status == 0
    config = studio.runs.spec(flag.document["id"]).config
    assert (config.epochs, config.name, config.lora_rank, config.seed) == (1, "short", 4, 7), "flags win"
