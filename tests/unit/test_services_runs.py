"""Runs as the services see them: names, the queue, stopping, going on, and what a vanished worker leaves."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from studio.api import Studio
from studio.machine.limits import oom_kills
from studio.machine.processes import identity
from studio.schema.dataset import DatasetRecord, DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.events import AnyEvent, EvaluationEvent, PhaseEvent, StateEvent, StepEvent
from studio.schema.requests import RunRequest
from studio.schema.runs import RunSpec
from studio.schema.settings_check import config_from
from studio.services.context import Context
from studio.services.runners import Runner, Runners
from studio.services.runners.base import Position, RunHandle
from studio.services.runners.worker_processes import WorkerProcesses
from studio.services.runs.lifecycle import RunLifecycle
from studio.services.runs.reconcile import reconcile
from studio.services.runs.run_management import RunManagement
from studio.store import Home
from studio.store.datasets import ROWS
from studio.ui.http import run_updates
from studio.ui.tabs import train


class Starts:
    """A runner that only remembers what it was asked to start."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.made_ready: list[str] = []
        self.aside = ""

    def start(self, workspace: str, run: str, log: Path) -> None:
        self.started.append((workspace, run))

    def watch(self, entries) -> None:
        pass

    def on_run_end(self, workspace: str, callback) -> None:
        pass

    def close(self) -> None:
        pass

    def prepare(self) -> None:
        self.made_ready.append("nothing")

    def prepare_run(self, workspace: str, spec: RunSpec, run: str) -> None:
        self.made_ready.append(spec.config.name)
        self.aside = run

    def claim_prepared_run(self, workspace: str) -> str:
        aside, self.aside = self.aside, ""
        return aside


def spec(name: str = "support") -> RunSpec:
    config = config_from({"task": "chat", "model": "starter-chat", "name": name})
    data = DatasetSpec(task="chat", roles={"question": "prompt", "answer": "reply"})
    return RunSpec(config=config, dataset="data-1", dataset_version=1, data=data, splits=SplitSpec())


def reconciled(runs, run):
    """A run after its state was brought in line with its worker."""
    reconcile(runs)
    return runs.get(run)


def lifecycle(context, processes):
    """The runs of a workspace, whose workers are only remembered."""
    return RunLifecycle(context, Runners(context.home, processes), processes)


@pytest.fixture
def runs(tmp_path):
    home = Home(tmp_path)
    datasets = home.workspace().datasets
    folder = datasets.begin("data-1", 1)
    (folder / ROWS).write_bytes(b"rows")
    record = DatasetRecord(
        id="data-1",
        name="support",
        version=1,
        note="",
        source="",
        created="",
        rows=1,
        columns=(),
        bytes=0,
        format="csv",
    )
    datasets.add(record, folder)
    return lifecycle(Context(home, home.workspace()), Starts())


def whole(checkpoint):
    """A checkpoint from which a run can go on, as far as can be told from outside."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    for name in ("trainer_state.json", "optimizer.pt", "weights"):
        (checkpoint / name).write_text("{}")
    (checkpoint / "complete.json").write_text('{"step": 4, "files": {"weights": 2}}')


@pytest.fixture
def living():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_second_run_of_the_same_name_gets_a_number(runs):
    names = [runs.submit(spec()).name for _ in range(3)]
    assert names == ["support", "support 2", "support 3"]


def test_a_run_that_was_made_ready_is_started_under_the_id_set_aside_and_the_next_one_under_its_own(runs):
    runs.prepare_worker(spec())
    aside = runs.processes.aside
    (runs.store.folder(aside).checkpoints).mkdir(parents=True)  # what makes it ready has been there
    assert [runs.submit(spec()).id == aside for _ in range(2)] == [True, False]


def test_no_guess_is_made_for_strangers_nor_for_what_has_more_than_this_process(runs):
    more = {"processes": 2}, {"mirror": "tensorboard"}
    others = [spec().model_copy(update={"config": spec().config.model_copy(update=each)}) for each in more]
    for each in (spec("mine"), *others):
        runs.prepare_worker(each)
    lifecycle(Context(runs.context.home, runs.context.workspace, demo=True), runs.processes).prepare_worker(
        spec("a stranger's")
    )
    assert runs.processes.made_ready == ["mine", "nothing", "nothing", "nothing"]


def test_a_started_run_waits_in_the_queue_and_a_worker_is_asked_for_it(runs):
    record = runs.submit(spec())
    assert record.status == "queued"
    assert runs.processes.started == [("default", record.id)]
    assert runs.queue.position(record.id) == 0


def test_a_run_that_waits_is_taken_out_of_the_queue_by_stop(runs):
    record = runs.submit(spec())
    stopped = runs.stop(record.id)
    assert stopped.status == "stopped"
    assert runs.queue.position(record.id) is None


def test_a_run_at_work_is_asked_to_stop_and_its_wish_is_kept(runs, living):
    record = runs.submit(spec())
    runs.store.begin(record.id, living.pid)
    assert runs.stop(record.id, "discard").status == "stopping"
    assert runs.store.stop_wish(record.id) == "discard"


def test_a_run_that_a_worker_begins_in_the_moment_of_stop_keeps_its_place_in_the_queue(runs, living, monkeypatch):
    record, ask = runs.submit(spec()), runs.store.request_stop

    def begun_before(run, wish):
        runs.store.begin(run, living.pid)
        ask(run, wish)

    monkeypatch.setattr(runs.store, "request_stop", begun_before)
    assert runs.stop(record.id, "discard").status == "stopping"
    assert runs.queue.position(record.id) == 0, "otherwise the next run would train beside it"


def test_a_finished_run_can_not_be_stopped_or_resumed(runs):
    record = runs.submit(spec())
    runs.store.set_status(record.id, "finished")
    for act in (runs.stop, runs.resume):
        with pytest.raises(StudioError) as refusal:
            act(record.id)
        assert refusal.value.code == "wrong-state"


def test_a_run_whose_worker_is_gone_is_interrupted_and_can_go_on(runs, living):
    record = runs.submit(spec())
    runs.store.begin(record.id, living.pid)
    living.kill()
    living.wait()
    found = reconciled(runs, record.id)
    assert found.status == "interrupted"
    assert "Resume starts again" in found.reason
    assert runs.resume(record.id).status == "queued"
    assert runs.store.get(record.id).reason == ""


def test_a_living_process_with_the_same_pid_but_another_start_is_not_taken_for_the_worker(runs, living):
    record = runs.submit(spec())
    runs.store.begin(record.id, living.pid)
    assert identity(living.pid)
    runs.store.update(record.id, identity="another-boot:1")
    assert reconciled(runs, record.id).status == "interrupted"


def test_a_run_at_work_can_not_be_deleted(runs, living):
    record = runs.submit(spec())
    runs.store.begin(record.id, living.pid)
    with pytest.raises(StudioError) as refusal:
        runs.delete(record.id)
    assert refusal.value.code == "wrong-state"
    assert runs.store.folder(record.id).config.exists()


def test_deleting_a_run_removes_its_folder_and_its_events(runs):
    record = runs.submit(spec())
    runs.stop(record.id)
    runs.delete(record.id)
    assert not runs.store.folder(record.id).root.exists()
    assert runs.event_store.after(record.id) == []


def test_the_time_left_follows_the_pace_of_the_last_steps(runs, living):
    record = runs.submit(spec())
    runs.store.begin(record.id, living.pid)
    for step in range(1, 5):
        runs.event_store.append(
            record.id, StepEvent(step=step, loss=1.0, learning_rate=1e-4, rows_per_second=1.0, memory_bytes=1)
        )
        time.sleep(0.05)
    runs.store.beat(record.id, "training", 4, 104, 1.0)
    runs.store.set_status(record.id, "training")
    left = runs.progress(record.id).seconds_left
    assert left is not None and 100 * 0.04 < left < 100 * 0.5


def test_a_waiting_run_without_a_worker_gets_a_new_one_from_whoever_looks(runs):
    record = runs.submit(spec())
    with runs.queue.db.write() as connection:
        connection.execute("UPDATE entries SET called = ''")
    reconcile(runs)
    assert runs.processes.started == [("default", record.id)] * 2
    reconcile(runs)
    assert len(runs.processes.started) == 2, "asked for once, not at every look"


def test_a_name_that_is_too_long_is_refused_with_its_length(runs):
    record = runs.submit(spec())
    with pytest.raises(StudioError) as refusal:
        RunManagement(runs).annotate(record.id, name="x" * 200)
    assert "200 characters" in refusal.value.message


def test_a_visitor_reads_the_log_without_the_paths_of_the_machine(runs):
    record, home = runs.submit(spec()), runs.context.home
    printed = f'File "{sys.prefix}/lib/x.py", for {home.root}/workspaces and /opt/models/private/model.safetensors'
    runs.store.folder(record.id).log.write_text(printed)
    stranger = lifecycle(Context(home, home.workspace(), demo=True), runs.processes)
    assert runs.log(record.id) == printed
    assert stranger.log(record.id) == 'File "x.py", for workspaces and model.safetensors'


def test_a_waiting_run_is_paused_and_goes_on_at_the_end_of_the_queue(runs):
    first, second = runs.submit(spec()), runs.submit(spec())
    paused = runs.pause(first.id)
    assert (paused.status, runs.queue.position(first.id), runs.queue.position(second.id)) == ("paused", None, 0)
    assert runs.progress(first.id).sentence == "Paused while queued."
    assert runs.resume(first.id).status == "queued"
    assert [each.id for each in runs.queued()] == [second.id, first.id]
    assert runs.processes.started == [("default", first.id), ("default", second.id)], "only the next run has a worker"


def test_a_run_at_work_is_asked_to_pause_and_may_finish_its_check(runs, living):
    record = runs.submit(spec())
    runs.store.begin(record.id, living.pid)
    assert runs.pause(record.id).status == "stopping"
    assert runs.store.stop_wish(record.id) == "pause"
    assert runs.progress(record.id).sentence == "Pausing after this step"
    with runs.store.db.write() as connection:
        connection.execute("UPDATE events SET time = '2020-01-01T00:00:00.000Z'")
    reconcile(runs)
    assert living.poll() is None, "nobody is pressed to pause"


def test_a_run_that_has_ended_can_not_be_paused_and_its_wish_stays_as_it_was(runs):
    record = runs.submit(spec())
    runs.store.set_status(record.id, "finished")
    with pytest.raises(StudioError) as refusal:
        runs.pause(record.id)
    assert refusal.value.code == "wrong-state"
    assert runs.store.get(record.id).stop_wish is None


def test_a_worker_does_not_begin_what_was_paused_in_that_moment(runs, living):
    record = runs.submit(spec())
    runs.pause(record.id)
    assert not runs.store.begin(record.id, living.pid)
    assert runs.get(record.id).status == "paused"


def test_an_archived_run_that_is_resumed_is_in_the_table_of_runs_again(runs):
    record = runs.submit(spec())
    runs.pause(record.id)
    runs.store.change(record.id, archived=1)
    assert not runs.resume(record.id).archived


def test_a_paused_run_is_thrown_away_with_all_it_had_learned(runs):
    record = runs.submit(spec())
    folder = runs.store.folder(record.id)
    runs.pause(record.id)
    for part in (folder.checkpoints / "checkpoint-4", folder.adapter):
        part.mkdir(parents=True)
    whole(folder.checkpoints / "checkpoint-4")
    assert "step 4 is saved" in runs.stop(record.id).reason
    runs.store.set_status(record.id, "paused")
    assert runs.stop(record.id, "discard").status == "stopped"
    assert not folder.checkpoints.exists() and not folder.adapter.exists() and folder.config.exists()


def test_the_order_of_the_queue_is_changed_and_refused_in_words(runs):
    first, second = runs.submit(spec()), runs.submit(spec())
    runs.move(second.id, "first")
    assert [each.id for each in runs.queued()] == [second.id, first.id]
    assert runs.progress(first.id).sentence == "Waiting: 1 run ahead of it."
    runs.stop(first.id)
    for run, way in ((first.id, "up"), (second.id, "sideways")):
        with pytest.raises(StudioError):
            runs.move(run, way)


def test_a_run_that_does_not_fit_says_what_it_needs_and_what_is_free(runs):
    record = runs.submit(spec().model_copy(update={"memory_bytes": 8 * 2**30}))
    runs.queue.claim(record.id, os.getpid())
    assert not runs.queue.try_start(record.id, 2 * 2**30)
    assert runs.progress(record.id).sentence == "Waiting for memory: it needs about 8.0 GB, and 2.0 GB is free."


def test_of_those_who_ask_with_one_key_the_first_makes_a_run_and_the_others_get_it(runs):
    first, second = (runs.submit(spec(), once="page 1") for _ in range(2))
    assert first.id == second.id and len(runs.all()) == 1
    assert len([each for each in runs.store.root.iterdir() if each.is_dir()]) == 1
    assert runs.processes.started == [("default", first.id)]
    assert runs.submit(spec(), once="page 2").id != first.id


def test_a_run_that_never_came_into_the_queue_is_found_by_whoever_looks(runs):
    """The server was killed between the two writes."""
    record = runs.submit(spec())
    runs.queue.remove(record.id)
    runs.processes.started.clear()
    reconcile(runs)
    assert runs.processes.started == []
    with runs.store.db.write() as connection:
        connection.execute("UPDATE runs SET created = '2020-01-01T00:00:00.000Z'")
    reconcile(runs)
    assert runs.processes.started == [("default", record.id)]
    assert runs.queue.position(record.id) == 0


def test_a_run_does_not_go_on_without_its_rows(runs):
    record, datasets = runs.submit(spec()), runs.context.workspace.datasets
    runs.stop(record.id)
    for remove in (lambda: datasets.rows_path("data-1", 1).unlink(), lambda: datasets.delete("data-1")):
        remove()
        with pytest.raises(StudioError) as refusal:
            runs.resume(record.id)
        assert refusal.value.code == "no-such-dataset" and refusal.value.hint
    assert runs.get(record.id).status == "stopped"


def lost_for_memory(runs, run):
    """As if the system had ended the run's worker for want of memory."""
    gone = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    assert runs.queue.claim(run, gone.pid) and runs.queue.try_start(run) and runs.store.begin(run, gone.pid)
    runs.store.set_status(run, "training", kills=oom_kills() - 1)
    gone.communicate()


def test_a_run_that_the_system_ended_for_want_of_memory_is_tried_once_more_at_half_the_batch(runs):
    before = runs.submit(spec())
    size, goes = (getattr(runs.store.spec(before.id).config, name) for name in ("batch_size", "gradient_accumulation"))
    lost_for_memory(runs, before.id)
    assert reconciled(runs, before.id).status == "queued"
    again = runs.store.spec(before.id)
    assert (again.config.batch_size, again.config.gradient_accumulation) == (size // 2, 2 * goes)
    assert again.because[-1].startswith(f"There was not enough memory for batch size {size},")
    assert runs.processes.started == [("default", before.id)] * 2 and runs.queue.position(before.id) == 0
    (advice,) = [each.event for each in runs.events(before.id, kinds=("advice",))]
    assert advice.title == "Not enough memory: tried once more"
    lost_for_memory(runs, before.id)
    for _ in range(2):
        assert reconciled(runs, before.id).status == "interrupted" and "memory ran out" in runs.get(before.id).reason
    assert len(runs.processes.started) == 2


def test_a_run_that_was_killed_for_another_reason_is_not_tried_by_itself(runs):
    record = runs.submit(spec())
    lost_for_memory(runs, record.id)
    runs.store.update(record.id, kills=oom_kills())
    assert reconciled(runs, record.id).status == "interrupted" and "memory" not in runs.get(record.id).reason
    assert len(runs.processes.started) == 1


def test_from_where_a_run_goes_on_is_told_alike_wherever_it_is_asked(runs):
    record = runs.submit(spec())
    folder = runs.store.folder(record.id)
    assert (runs.progress(record.id).way_on, runs.progress(record.id).saved) == ("", None), "it waits"
    lost_for_memory(runs, record.id)
    runs.store.update(record.id, kills=oom_kills(), step=9, steps=20)
    for step in (4, 8):
        whole(folder.checkpoints / f"checkpoint-{step}")
    (folder.checkpoints / "checkpoint-8" / "weights").write_text("")  # cut
    assert "All progress up to step 4 is saved" in reconciled(runs, record.id).reason
    told = runs.progress(record.id)
    assert (told.saved, told.way_on, runs.checkpoints(record.id)) == (4, "Resumes from step 4.", [4])
    assert run_updates.run_state(told)["saved"] == 4 and run_updates.run_state(told)["way"] == told.way_on
    assert run_updates.run_state(told)["bytes"] == told.bytes == runs.size(record.id) > 0
    (folder.checkpoints / "checkpoint-4" / "optimizer.pt").unlink()
    told = runs.progress(record.id)
    assert (told.saved, told.way_on) == (
        None,
        "A file of its checkpoints is missing or incomplete, so it starts again.",
    )
    assert told.way_on in train.bar(told)
    runs.resume(record.id)
    assert runs.event_store.last(record.id, "state")[-1].event.message == told.way_on


def test_a_run_for_which_there_is_no_room_on_the_disk_is_neither_made_nor_goes_on(runs):
    endless = {"disk_bytes": 10**18}
    with pytest.raises(StudioError) as refusal:
        runs.submit(spec().model_copy(update=endless))
    assert refusal.value.code == "disk-full" and "MB needed" in refusal.value.given
    assert runs.all() == [] and not list(runs.store.root.glob("*"))
    record = runs.submit(spec())
    runs.pause(record.id)
    runs.store.replace_spec(record.id, spec().model_copy(update=endless))
    with pytest.raises(StudioError) as refusal:
        runs.resume(record.id)
    assert refusal.value.code == "disk-full" and runs.get(record.id).status == "paused"
    assert runs.queue.entries() == []


def test_what_a_run_has_saved_already_counts_as_room_for_it(runs, tmp_path):
    record = runs.submit(spec())
    runs.pause(record.id)
    free = shutil.disk_usage(tmp_path).free
    checkpoint = runs.store.folder(record.id).checkpoints / "checkpoint-4"
    checkpoint.mkdir(parents=True)
    with (checkpoint / "optimizer.pt").open("wb") as file:
        file.truncate(2 * free)  # takes no room itself
    runs.store.replace_spec(record.id, spec().model_copy(update={"disk_bytes": 2 * free}))
    assert runs.resume(record.id).status == "queued"


def test_start_refuses_a_disk_on_which_there_is_no_room_for_what_is_learned(disk_of):
    studio = Studio(disk_of(90) / "home")
    rows = "question,answer\n" + "".join(f"How is number {n}?,It is fine as number {n}.\n" for n in range(30))
    data = studio.datasets.add_text(rows).id
    with pytest.raises(StudioError) as refusal:
        studio.runs.start(
            RunRequest(dataset=data, model="starter-chat", method="full", settings={"batch_size": 1, "max_length": 32})
        )
    assert refusal.value.code == "disk-full" and "MB free" in refusal.value.given
    assert studio.runs.all() == []
    studio.close()


def test_a_stop_from_before_a_run_was_resumed_does_not_hurry_the_next_one(runs):
    record = runs.submit(spec())
    worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    try:
        runs.store.set_status(record.id, "stopping", "Pauses.")
        with runs.store.db.write() as connection:
            connection.execute("UPDATE events SET time = '2026-01-01T00:00:00.000Z'")
        runs.store.set_status(record.id, "paused")
        runs.store.set_status(record.id, "queued")
        assert runs.store.begin(record.id, worker.pid)
        runs.stop(record.id)
        reconcile(runs)
        time.sleep(0.2)
        assert worker.poll() is None, "it has a while to obey"
    finally:
        worker.kill()
        worker.wait()


def test_a_worker_that_hangs_after_stop_is_killed_and_one_that_still_saves_is_not(runs, living):
    record = runs.submit(spec())
    folder = runs.store.folder(record.id)
    half_saved = folder.checkpoints / ".checkpoint-4.new" / "weights"
    half_saved.parent.mkdir(parents=True)
    half_saved.write_bytes(b"a part of them")
    assert runs.store.begin(record.id, living.pid)
    runs.stop(record.id)
    long_ago = time.time() - 500
    with runs.store.db.write() as connection:
        connection.execute("UPDATE events SET time = '2026-01-01T00:00:00.000Z'")
    reconcile(runs)
    time.sleep(0.2)
    assert living.poll() is None, "its last file was written to a moment ago"
    for file in folder.root.rglob("*"):
        os.utime(file, (long_ago, long_ago))
    folder.log.write_text("what a library prints is no saving\n")
    reconcile(runs)
    assert living.wait(5) == -signal.SIGKILL


def test_a_stop_after_a_long_pause_has_its_own_time_before_the_worker_is_killed(runs, living):
    record = runs.submit(spec())
    assert runs.store.begin(record.id, living.pid)
    runs.pause(record.id)
    with runs.store.db.write() as connection:
        connection.execute("UPDATE events SET time = '2026-01-01T00:00:00.000Z'")
    for file in runs.store.folder(record.id).root.rglob("*"):  # nothing is being saved
        os.utime(file, (time.time() - 500,) * 2)
    runs.stop(record.id)
    reconcile(runs)
    time.sleep(0.2)
    assert living.poll() is None, "it is still at the validation that it may finish before a pause"


class Away(Runner):
    """A runner whose machine trains as the test says."""

    name, title, sentence = "away", "Another machine", "It trains elsewhere."

    def __init__(self, home: Home, processes: WorkerProcesses) -> None:
        super().__init__(home, processes)
        self.reported: list[AnyEvent] = []
        self.submitted: set[str] = set()
        self.failures: list[Exception] = []

    def submit(self, run: RunHandle, rerun: bool = False) -> None:
        self.submitted.add(run.id)

    def is_submitted(self, run: RunHandle) -> bool:
        return run.id in self.submitted

    def position(self, run: RunHandle) -> Position | None:
        return Position(0)

    def events(self, run: RunHandle, saved: int) -> Iterable[AnyEvent]:
        return self.reported[saved:]

    def fetch(self, run: RunHandle) -> None:
        if self.failures:
            raise self.failures.pop()
        run.folder.adapter.mkdir()
        (run.folder.adapter / "adapter_config.json").write_text("{}")


def test_a_run_elsewhere_has_the_events_and_states_of_its_runner(runs: RunLifecycle) -> None:
    away = Away(runs.context.home, runs.processes)
    runs.runners = {**runs.runners, "away": away}
    run = runs.submit(spec().model_copy(update={"runner": "away"})).id
    away.reported = [StateEvent(status="training"), PhaseEvent(phase="training", steps=2)]
    reconcile(runs)
    assert runs.get(run).status == "training", "no worker of this machine is missed"
    away.reported.append(StepEvent(step=1, loss=2.0, learning_rate=0.1, rows_per_second=1.0, memory_bytes=1))
    away.reported.append(StateEvent(status="finished", message="Done."))
    away.failures = [OSError("no network")]
    reconcile(runs)
    assert runs.get(run).status == "training", "what it has learned is not fetched yet"
    reconcile(runs)
    record = runs.get(run)
    assert (record.status, record.has_result, record.reason) == ("finished", True, "Done.") and record.ended
    assert (record.step, record.steps, record.phase) == (1, 2, "training") and record.started
    assert [each.event.kind for each in runs.events(run)] == ["state", "state", "phase", "step", "state"]
    assert runs.queue.listing() == []


def test_a_runner_that_fails_keeps_no_other_run_from_being_reconciled(
    runs: RunLifecycle, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(runs.context.home, runs.processes)
    monkeypatch.setattr(away, "is_submitted", lambda run: 1 / 0)
    runs.runners = {**runs.runners, "away": away}
    waiting = runs.store.create(spec().model_copy(update={"runner": "away"})).id
    unknown = runs.store.create(spec().model_copy(update={"runner": "gone"})).id
    runs.store.set_status(unknown, "training")
    lost = runs.store.create(spec()).id
    runs.store.set_status(lost, "training")
    monkeypatch.setattr("studio.services.runs.reconcile.UNQUEUED_SECONDS", -1)
    reconcile(runs)
    states = [runs.get(each).status for each in (waiting, unknown, lost)]
    assert states == ["queued", "training", "interrupted"], "nothing is known here of a run without its runner"


def test_the_queue_that_a_pause_would_lead_to_is_known_before_it(runs, living):
    first, second, third = (runs.submit(spec(name)) for name in "abc")
    runs.queue.claim(first.id, living.pid)
    assert runs.queue.try_start(first.id)
    runs.store.begin(first.id, living.pid)
    running = runs.progress(first.id)
    assert (running.waiting, runs.progress(second.id).waiting) == (2, 1)
    assert "2 waiting runs go first. Resume makes this run number 3" in train.bar(running)
    assert "Resume puts it back as number 2" in train.bar(runs.progress(third.id))


def test_the_state_of_the_bar_changes_with_the_queue(runs):
    first = runs.submit(spec("a"))
    before = train.state(runs.progress(first.id))
    runs.submit(spec("b"))
    assert train.state(runs.progress(first.id)) != before


def test_a_run_that_prepares_says_what_it_does(runs, living):
    record = runs.submit(spec())
    runs.store.begin(record.id, living.pid)
    runs.event_store.append(record.id, PhaseEvent(phase="reading", message="Answering, 2 of 3", done=2, total=3))
    runs.store.beat(record.id, "reading", 0, 0, 1.0)
    assert run_updates.run_state(runs.progress(record.id))["doing"] == "Answering, 2 of 3"
    runs.store.beat(record.id, "training", 1, 10, 1.0)
    assert "doing" not in run_updates.run_state(runs.progress(record.id))


def test_a_run_says_what_it_does_between_two_steps_until_it_is_done(runs, living):
    record = runs.submit(spec())
    runs.store.begin(record.id, living.pid)
    step = StepEvent(step=4, loss=1.0, learning_rate=1e-4, rows_per_second=1.0, memory_bytes=1)
    message = "Validation, 12 of 27 rows"
    runs.event_store.append(record.id, step)
    runs.event_store.append(record.id, PhaseEvent(phase="training", message=message, done=12, total=27))
    runs.store.beat(record.id, "training", 4, 12, 1.0)
    assert run_updates.run_state(runs.progress(record.id))["doing"] == message
    runs.event_store.append(record.id, EvaluationEvent(step=4, eval_loss=1.0, best=True))
    assert "doing" not in run_updates.run_state(runs.progress(record.id))


def test_no_time_is_left_to_tell_when_all_steps_are_done(runs, living):
    record = runs.submit(spec())
    runs.store.begin(record.id, living.pid)
    for step in range(1, 5):
        one = StepEvent(step=step, loss=1.0, learning_rate=1e-4, rows_per_second=1.0, memory_bytes=1)
        runs.event_store.append(record.id, one)
    runs.store.set_status(record.id, "training")
    runs.store.beat(record.id, "training", 4, 4, 1.0)
    assert runs.progress(record.id).seconds_left is not None
    runs.store.beat(record.id, "saving", 4, 4, 1.0)
    assert runs.progress(record.id).seconds_left is None
