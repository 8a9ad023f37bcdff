"""Runs and events: what was asked, where it stands, and the truth after a worker is gone."""

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from studio.machine.processes import identity
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.events import CheckpointEvent, EvaluationEvent, PhaseEvent, StateEvent, StepEvent
from studio.schema.runs import RunRecord, RunSpec
from studio.store import Home, Workspace

WRITES_EVENTS = """
import sys
from pathlib import Path
from studio.schema.events import PhaseEvent
from studio.store import Home
events = Home(Path(sys.argv[1])).workspace().events
for number in range(50):
    events.append(sys.argv[2], PhaseEvent(phase="training", message=f"{sys.argv[3]} {number}"))
"""


def spec(name: str = "", **settings: object) -> RunSpec:
    return RunSpec(
        config=TrainingConfig(task="chat", model="starter-chat", name=name, **settings),  # type: ignore[arg-type]
        dataset="data-1",
        dataset_version=2,
        data=DatasetSpec(task="chat", roles={"Frage": "prompt", "Antwort": "reply"}),
        splits=SplitSpec(),
        because=("3 passes, as there are few rows.",),
    )


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Home(tmp_path / "home").workspace()


@pytest.fixture
def run(place: Workspace) -> RunRecord:
    return place.runs.create(spec("support tone"))


def step(number: int, loss: float = 1.0) -> StepEvent:
    return StepEvent(step=number, loss=loss, learning_rate=1e-4, rows_per_second=5, memory_bytes=1)


def a_dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def statuses(place: Workspace, run: str) -> list[str]:
    return [each.event.status for each in place.events.after(run) if isinstance(each.event, StateEvent)]


def test_a_new_run_waits_and_its_folder_says_what_was_asked(place: Workspace, run: RunRecord) -> None:
    assert run.status == "queued"
    assert (run.task, run.model, run.method, run.name) == ("chat", "starter-chat", "lora", "support tone")
    assert len(run.id) >= 10
    kept = yaml.safe_load(place.runs.folder(run.id).config.read_text())
    assert RunSpec.model_validate(kept) == place.runs.spec(run.id) == spec("support tone")
    assert statuses(place, run.id) == ["queued"]


def test_ids_of_runs_differ_and_last_is_the_newest(place: Workspace) -> None:
    ids = [place.runs.create(spec()).id for _ in range(20)]
    assert len(set(ids)) == 20
    assert place.runs.get("last").id == ids[-1]
    assert [each.id for each in place.runs.all()] == ids[::-1]


def test_a_run_without_a_name_is_called_by_its_id(place: Workspace) -> None:
    made = place.runs.create(spec())
    assert made.name == made.id


def test_a_state_and_its_event_are_one_transaction(place: Workspace, run: RunRecord) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such column"):
        place.runs.set_status(run.id, "training", nonsense=1)
    assert place.runs.get(run.id).status == "queued"
    assert statuses(place, run.id) == ["queued"]
    assert place.runs.set_status(run.id, "finished", "Done.", metrics={"loss": 0.5}, best_step=7, has_result=1)
    record = place.runs.get(run.id)
    assert (record.status, record.metrics, record.best_step, record.has_result) == ("finished", {"loss": 0.5}, 7, True)
    assert statuses(place, run.id) == ["queued", "finished"]


def test_a_state_changes_only_from_those_named(place: Workspace, run: RunRecord) -> None:
    assert not place.runs.set_status(run.id, "stopping", only_from=("training",))
    assert place.runs.set_status(run.id, "stopping", only_from=("queued",))
    assert not place.runs.set_status("no-such-run", "failed")


def test_of_two_threads_that_change_a_state_from_the_same_one_only_one_does(place: Workspace, run: RunRecord) -> None:
    won: list[bool] = []

    def change() -> None:
        won.append(place.runs.set_status(run.id, "starting", only_from=("queued",)))
        place.db.close()

    threads = [threading.Thread(target=change) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == [False] * 5 + [True]
    assert statuses(place, run.id) == ["queued", "starting"]


def test_the_worker_says_where_it_stands(place: Workspace, run: RunRecord) -> None:
    place.runs.begin(run.id, os.getpid())
    place.runs.beat(run.id, "training", 3, 12, 4.5)
    record, worker = place.runs.get(run.id), place.runs.worker(run.id)
    assert (record.status, record.phase, record.seconds) == ("starting", "training", 4.5)
    assert (record.step, record.steps) == (3, 12)
    assert record.started
    assert (worker.pid, worker.identity) == (os.getpid(), identity(os.getpid()))


def test_a_wish_to_stop_is_kept_taken_back_and_meant_for_a_run_that_is_gone(place: Workspace, run: RunRecord) -> None:
    assert place.runs.stop_wish(run.id) is None
    place.runs.request_stop(run.id, "keep")
    assert place.runs.stop_wish(run.id) == "keep"
    place.runs.request_stop(run.id, None)
    assert place.runs.stop_wish(run.id) is None
    place.runs.delete(run.id)
    assert place.runs.stop_wish(run.id) == "discard"


@pytest.mark.parametrize("state", ["starting", "training", "stopping"])
def test_a_run_whose_worker_is_gone_is_interrupted(place: Workspace, run: RunRecord, state: str) -> None:
    place.runs.begin(run.id, a_dead_pid())
    place.runs.set_status(run.id, state)  # type: ignore[arg-type]
    assert [each.id for each in place.runs.reconcile()] == [run.id]
    record = place.runs.get(run.id)
    assert record.status == "interrupted"
    assert "before the first step" in record.reason
    assert "Resume" in record.reason
    assert record.ended
    assert place.runs.reconcile() == []
    assert statuses(place, run.id).count("interrupted") == 1


def test_an_interrupted_run_says_which_step_is_safe(place: Workspace, run: RunRecord) -> None:
    place.runs.begin(run.id, a_dead_pid())
    place.runs.set_status(run.id, "training")
    place.runs.beat(run.id, "training", 31, 40, 9)
    asked: list[Path] = []
    place.runs.reconcile(lambda checkpoints: asked.append(checkpoints) or 30)
    reason = place.runs.get(run.id).reason
    assert "at step 31 of 40" in reason
    assert "All progress up to step 30 is saved" in reason
    assert asked == [place.runs.folder(run.id).checkpoints]


def test_a_pid_that_was_given_to_another_process_is_not_taken_for_the_worker(place: Workspace, run: RunRecord) -> None:
    place.runs.begin(run.id, os.getpid())
    place.runs.set_status(run.id, "training", identity="the same pid before a restart")
    assert [each.status for each in place.runs.reconcile()] == ["interrupted"]


@pytest.mark.parametrize("state", ["queued", "paused", "finished", "stopped", "failed", "interrupted"])
def test_runs_that_no_worker_should_have_are_left_alone(place: Workspace, run: RunRecord, state: str) -> None:
    place.runs.set_status(run.id, state)  # type: ignore[arg-type]
    assert place.runs.reconcile() == []
    assert place.runs.get(run.id).status == state


def test_two_that_look_at_once_say_interrupted_once(place: Workspace, run: RunRecord) -> None:
    place.runs.begin(run.id, a_dead_pid())
    threads = [threading.Thread(target=lambda: (place.runs.reconcile(), place.db.close())) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses(place, run.id).count("interrupted") == 1


def test_events_are_read_from_the_cursor_on_without_a_hole(place: Workspace, run: RunRecord) -> None:
    events = [PhaseEvent(phase="loading"), step(1, 2.5), EvaluationEvent(step=1, eval_loss=2.0, best=True), step(2)]
    ids = [place.events.append(run.id, event) for event in events]
    assert ids == sorted(set(ids))
    stored = place.events.after(run.id, after=ids[0])
    assert [each.event for each in stored] == events[1:]
    assert place.events.after(run.id, after=ids[-1]) == []
    assert [each.event for each in place.events.after(run.id, kinds=("step",), limit=1)] == [events[1]]


def test_the_few_events_that_are_no_steps_are_found_without_reading_the_steps(place: Workspace, run: RunRecord) -> None:
    place.events.append(run.id, PhaseEvent(phase="training"))
    work: list[int] = []
    with place.db.write() as connection:  # reads of this thread use its connection
        text = step(1).model_dump_json()
        rows = ((run.id, "2026-01-01T00:00:00Z", text) for _ in range(5_000))
        connection.executemany("INSERT INTO events (run, time, kind, data) VALUES (?, ?, 'step', ?)", rows)
        connection.set_progress_handler(lambda: work.append(1), 100)  # instructions of SQLite
        assert [each.event.kind for each in place.events.last(run.id, "phase")] == ["phase"]
        assert [each.event.kind for each in place.events.after(run.id, kinds=("state", "phase"))][-1] == "phase"
        connection.set_progress_handler(None, 0)
    assert len(work) < 20


def test_an_event_is_printed_flat(place: Workspace, run: RunRecord) -> None:
    place.events.append(run.id, CheckpointEvent(step=5, name="checkpoint-5", bytes=10, best=True))
    flat = place.events.after(run.id)[-1].flat()
    assert {"id", "time", "kind", "step", "name", "bytes", "best"} == set(flat)
    assert flat["kind"] == "checkpoint"
    assert flat["time"].endswith("Z")


@pytest.mark.slow
def test_the_events_of_two_processes_at_once_are_all_there(place: Workspace, run: RunRecord) -> None:
    home = str(place.home.root)
    writers = [subprocess.Popen([sys.executable, "-c", WRITES_EVENTS, home, run.id, who]) for who in "ab"]
    seen: list[int] = []
    while any(writer.poll() is None for writer in writers):
        seen += [each.id for each in place.events.after(run.id, after=seen[-1] if seen else 0)]
    assert [writer.returncode for writer in writers] == [0, 0]
    seen += [each.id for each in place.events.after(run.id, after=seen[-1] if seen else 0)]
    assert seen == [each.id for each in place.events.after(run.id)]
    assert len(seen) == 101


def test_ids_of_deleted_events_are_never_used_again(place: Workspace, run: RunRecord) -> None:
    last = place.events.append(run.id, step(1))
    place.runs.delete(run.id)
    other = place.runs.create(spec())
    assert place.events.append(other.id, step(1)) > last


def test_an_event_of_an_unknown_run_is_refused(place: Workspace) -> None:
    with pytest.raises(Exception, match="FOREIGN KEY"):
        place.events.append("no-such-run", step(1))


def test_a_deleted_run_takes_its_events_and_its_folder_with_it(place: Workspace, run: RunRecord) -> None:
    other = place.runs.create(spec())
    folder = place.runs.folder(run.id).root
    place.runs.delete(run.id)
    assert not folder.exists()
    assert place.events.after(run.id) == []
    assert [each.id for each in place.runs.all()] == [other.id]
    with pytest.raises(StudioError) as caught:
        place.runs.delete(run.id)
    assert caught.value.code == "no-such-run"


def test_a_result_is_an_adapter_or_a_model_that_is_whole(place: Workspace, run: RunRecord) -> None:
    folder = place.runs.folder(run.id)
    folder.adapter.mkdir()
    assert folder.result is None
    (folder.adapter / "adapter_config.json").write_text("{}")
    assert folder.result == folder.adapter


@pytest.mark.parametrize("asked", ["../../etc", "", "' OR 1=1 --", "a" * 5000, "\0"])
def test_an_id_that_is_none_is_no_run(place: Workspace, run: RunRecord, asked: str) -> None:
    with pytest.raises(StudioError) as caught:
        place.runs.get(asked)
    assert caught.value.code == "no-such-run"
