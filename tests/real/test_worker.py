"""The real worker process: it waits, trains, obeys, and whatever happens to it, the truth is on disk."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from worker_runs import (
    add_run,
    log_of,
    prepared_worker,
    record_of,
    start_worker,
    steps_of,
    wait_for,
)

from studio.machine.processes import identity
from studio.schema.dataset import DatasetRecord
from studio.services.runners.worker_processes import WorkerProcesses
from studio.services.runs.run_files import resumable_step
from studio.store import Home
from studio.worker.run import Worker

TINY = {"precision": "float32", "learning_rate": 1e-2, "max_length": 96}
LONG = {**TINY, "epochs": 200, "eval_steps": 20, "early_stopping_patience": 0}


@pytest.fixture
def runner(home: Home) -> Iterator[WorkerProcesses]:
    made = WorkerProcesses(home.root)
    yield made
    made.close()


def prepared_workers() -> list[psutil.Process]:
    """Living workers without a run that read from a pipe of this process."""
    mine = {link for handle in os.listdir("/proc/self/fd") if (link := link_of(f"/proc/self/fd/{handle}"))}
    lines = {each: " ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])}
    waiting = [each for each, line in lines.items() if "studio.worker --prepared" in line]
    return [each for each in waiting if link_of(f"/proc/{each.pid}/fd/0") in mine]


def link_of(handle: str) -> str:
    """What a descriptor is open on; nothing when it is closed."""
    try:
        return os.readlink(handle)
    except OSError:
        return ""


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_run_is_trained_and_described_whole(home: Home, data: DatasetRecord, llama: str) -> None:
    run = add_run(home, data, llama, **TINY, epochs=1, test_prompts=("Where is it?",), watch_share=0.0)
    assert start_worker(home, run, fresh=True).wait(120) == 0, log_of(home, run)
    record = record_of(home, run)
    assert (record.status, record.has_result, record.reason) == ("finished", True, "")
    assert record.step == record.steps == 9
    assert record.seconds and record.started and record.ended
    assert {"eval_loss", "base_eval_loss"} <= set(record.metrics)
    kinds = [each.event.kind for each in home.workspace().events.after(run)]
    assert kinds[:3] == ["state", "state", "phase"] and kinds[-1] == "state"
    assert kinds.count("step") == 9 and kinds.count("reply") == 2 and "error" not in kinds
    folder = home.workspace().runs.folder(run)
    splits = json.loads(folder.splits.read_text())
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 34, "validation": 6, "test": 0}
    assert sorted(splits["train"] + splits["validation"]) == list(range(1, 41))
    described = json.loads(folder.record.read_text())
    assert described["run"]["status"] == "finished" and described["data"]["name"] == "support-tone"
    assert str(home.root) not in folder.record.read_text()
    assert folder.result is not None
    assert not list(folder.checkpoints.rglob("optimizer.pt")), "nobody resumes a finished run"
    assert home.queue.entries() == []
    log = log_of(home, run)
    assert "step 9/9  loss" in log and "Finished" in log and "Traceback" not in log and "Warning" not in log


def test_a_prepared_worker_is_handed_a_run_and_takes_its_name(
    home: Home, data: DatasetRecord, llama: str, runner: WorkerProcesses
) -> None:
    runner.prepare()
    runner.prepare()
    wait_for(prepared_workers)
    prepared = prepared_workers()
    assert len(prepared) == 1, "one, however often it is asked for"
    run = add_run(home, data, llama, **LONG)
    runner.start("default", run, home.workspace().runs.folder(run).log)
    wait_for(lambda: steps_of(home, run))
    assert home.workspace().runs.worker(run).pid == prepared[0].pid
    said = " ".join(prepared[0].cmdline()).strip()
    assert "studio.worker" in said and said.endswith(run)
    home.workspace().runs.request_stop(run, "keep")
    wait_for(lambda: is_gone(prepared[0]))
    assert record_of(home, run).status == "stopped"
    assert "step 1/" in log_of(home, run)


def test_a_prepared_worker_that_is_gone_is_not_waited_for(
    home: Home, data: DatasetRecord, llama: str, runner: WorkerProcesses
) -> None:
    runner.prepare()
    wait_for(prepared_workers)
    (prepared,) = prepared_workers()
    prepared.kill()
    prepared.wait(10)
    run = add_run(home, data, llama, **TINY, epochs=1)
    runner.start("default", run, home.workspace().runs.folder(run).log)
    wait_for(lambda: record_of(home, run).status == "finished")
    runner.prepare()
    wait_for(prepared_workers)
    (prepared,) = prepared_workers()
    runner.close()
    assert is_gone(prepared), "it goes with the server"


def test_a_prepared_worker_that_is_not_needed_goes() -> None:
    worker = prepared_worker()
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(60) == 0


def test_sigterm_keeps_what_was_learned(home: Home, data: DatasetRecord, llama: str) -> None:
    run = add_run(home, data, llama, **LONG)
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) >= 3)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(20) == 0, log_of(home, run)
    record = record_of(home, run)
    assert (record.status, record.has_result) == ("stopped", True)
    assert "is the result" in record.reason
    assert home.workspace().runs.folder(run).result is not None


def test_a_run_whose_rows_are_deleted_while_it_trains_finishes_without_a_fault(
    home: Home, data: DatasetRecord, llama: str
) -> None:
    run = add_run(home, data, llama, **TINY, epochs=2)
    worker = start_worker(home, run)
    wait_for(lambda: steps_of(home, run))
    home.workspace().datasets.delete(data.id)
    assert worker.wait(120) == 0, log_of(home, run)
    kinds = [each.event.kind for each in home.workspace().events.after(run)]
    assert record_of(home, run).status == "finished" and "error" not in kinds
    told = json.loads(home.workspace().runs.folder(run).record.read_text())
    assert told["run"]["status"] == "finished" and told["data"]["id"] == data.id


def test_a_wish_to_discard_leaves_no_model(home: Home, data: DatasetRecord, llama: str) -> None:
    run = add_run(home, data, llama, **LONG)
    worker = start_worker(home, run)
    wait_for(lambda: steps_of(home, run))
    home.workspace().runs.request_stop(run, "discard")
    assert worker.wait(30) == 0
    record = record_of(home, run)
    assert (record.status, record.has_result) == ("stopped", False)
    assert home.workspace().runs.folder(run).result is None


def test_a_killed_worker_is_noticed_and_its_run_goes_on_from_the_last_checkpoint(
    home: Home, data: DatasetRecord, llama: str
) -> None:
    run = add_run(home, data, llama, **{**LONG, "epochs": 12})
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) >= 25)
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait(10)
    runs = home.workspace().runs
    assert [lost.id for lost in runs.reconcile(resumable_step)] == [run]
    record = record_of(home, run)
    assert record.status == "interrupted"
    assert "Resume continues from there" in record.reason
    before = {event.step: event.loss for event in steps_of(home, run)}
    last_before = max(before)
    runs.set_status(run, "queued")
    home.queue.enqueue("default", run)
    assert start_worker(home, run).wait(120) == 0, log_of(home, run)
    assert record_of(home, run).status == "finished"
    after = [event for event in steps_of(home, run)][len(before) :]
    assert after[0].step in (21, 41, 61, 81)
    assert {event.step for event in after} | set(before) == set(range(1, 109))
    again = [event for event in after if event.step <= last_before]
    assert [event.loss for event in again] == pytest.approx([before[event.step] for event in again], abs=1e-5)


def test_a_second_run_waits_for_its_turn_and_then_trains(
    home: Home, data: DatasetRecord, llama: str, runner: WorkerProcesses, request: pytest.FixtureRequest
) -> None:
    first, second = add_run(home, data, llama, **LONG), add_run(home, data, llama, **TINY, epochs=1)
    one = start_worker(home, first)
    wait_for(lambda: steps_of(home, first))
    wait_for(lambda: home.queue.worker(second))  # the one at work has started the next one's
    wait_for(lambda: "Waiting" in log_of(home, second))
    assert record_of(home, second).status == "queued"
    request.getfixturevalue("afresh")  # what is started from here on imports by itself
    runner.prepare()
    wait_for(prepared_workers)
    (prepared,) = prepared_workers()
    wait_for(lambda: prepared.memory_info().rss > 300e6)
    third = add_run(home, data, llama, **TINY, epochs=1)
    runner.start("default", third, home.workspace().runs.folder(third).log)
    wait_for(lambda: "Waiting" in log_of(home, third))
    assert home.queue.worker(third) == prepared.pid, "it is the same process, begun anew"
    assert prepared.memory_info().rss < 150e6, "nothing heavy is imported while it waits"
    home.workspace().runs.request_stop(third, "keep")
    home.workspace().runs.request_stop(first, "discard")
    assert one.wait(30) == 0
    wait_for(lambda: record_of(home, second).status == "finished")


def test_a_waiting_run_can_be_stopped_and_an_ended_wait_keeps_its_place(
    home: Home, data: DatasetRecord, llama: str
) -> None:
    home.queue.enqueue("default", "another")
    assert home.queue.claim("another", os.getpid()) and home.queue.try_start("another")
    run = add_run(home, data, llama, **TINY)
    worker = start_worker(home, run, fresh=True)
    wait_for(lambda: "Waiting" in log_of(home, run))
    assert psutil.Process(worker.pid).memory_info().rss < 150e6, "nothing heavy is imported while it waits"
    other = add_run(home, data, llama, **TINY)
    waiting = start_worker(home, other)
    wait_for(lambda: "Waiting" in log_of(home, other))
    home.workspace().runs.request_stop(run, "keep")
    assert worker.wait(10) == 0
    assert record_of(home, run).status == "stopped"
    waiting.send_signal(signal.SIGTERM)
    assert waiting.wait(10) == 0
    assert record_of(home, other).status == "queued"
    assert [entry[1] for entry in home.queue.entries()] == ["another", other]


def test_an_error_is_told_in_plain_words_and_the_next_run_has_its_turn(
    home: Home, data: DatasetRecord, tmp_path: Path
) -> None:
    run = add_run(home, data, str(tmp_path / "no model here"), **TINY)
    assert start_worker(home, run).wait(60) == 1
    record = record_of(home, run)
    assert record.status == "failed" and record.ended
    assert "Traceback" not in record.reason
    errors = home.workspace().events.after(run, kinds=("error",))
    assert [each.event.message for each in errors] == [record.reason]  # type: ignore[union-attr]
    assert home.queue.entries() == []
    assert "Traceback" in log_of(home, run)


def test_a_run_that_is_not_queued_is_left_alone(home: Home, data: DatasetRecord, llama: str) -> None:
    run = add_run(home, data, llama, **TINY)
    home.queue.remove(run)
    assert start_worker(home, run).wait(30) == 2
    assert record_of(home, run).status == "queued"


def test_a_run_that_a_living_worker_has_is_not_taken_twice(home: Home, data: DatasetRecord, llama: str) -> None:
    run = add_run(home, data, llama, **LONG)
    worker = start_worker(home, run)
    wait_for(lambda: steps_of(home, run))
    assert start_worker(home, run).wait(30) == 2
    state = home.workspace().runs.worker(run)
    assert (state.pid, state.identity) == (worker.pid, identity(worker.pid))
    assert home.workspace().runs.reconcile() == []
    home.workspace().runs.request_stop(run, "discard")
    assert worker.wait(30) == 0


def run_with_a_guest(home: Home, data: DatasetRecord, llama: str, cores: int) -> tuple[str, "subprocess.Popen[bytes]"]:
    """A run that has given up a core, because a model host answers, and its worker."""
    run = add_run(home, data, llama, **LONG)
    worker = start_worker(home, run)
    wait_for(lambda: steps_of(home, run))
    home.queue.host_started(os.getpid())
    wait_for(lambda: len(os.sched_getaffinity(worker.pid)) == cores - 1, 20)
    return run, worker


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="this machine has one core only")
def test_a_run_gives_up_a_core_to_a_guest_and_takes_it_back(
    home: Home, data: DatasetRecord, llama: str, cores: int
) -> None:
    run, worker = run_with_a_guest(home, data, llama, cores)
    home.queue.host_idle(os.getpid())
    wait_for(lambda: len(os.sched_getaffinity(worker.pid)) == cores, 20)
    home.workspace().runs.request_stop(run, "discard")
    assert worker.wait(30) == 0


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="this machine has one core only")
def test_the_run_after_one_that_gave_up_a_core_has_all_cores(
    home: Home, data: DatasetRecord, llama: str, cores: int
) -> None:
    run, worker = run_with_a_guest(home, data, llama, cores)
    after = add_run(home, data, llama, **LONG)  # the first worker starts the next one when it ends
    home.workspace().runs.request_stop(run, "discard")
    assert worker.wait(30) == 0
    home.queue.host_idle(os.getpid())
    wait_for(lambda: len(steps_of(home, after)) > 2)
    second = home.workspace().runs.worker(after).pid or 0  # it may have begun before the host was idle
    wait_for(lambda: len(os.sched_getaffinity(second)) == cores, 20)
    home.workspace().runs.request_stop(after, "discard")
    wait_for(lambda: record_of(home, after).ended)


def test_a_run_whose_disk_space_is_used_up_is_asked_to_end_until_it_does(
    home: Home, data: DatasetRecord, llama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studio.worker.run.LOOK_SECONDS", 0.0)
    worker = Worker(home, "default", add_run(home, data, llama, **TINY))
    worker._quota, worker._result_bytes = SimpleNamespace(left=lambda: 0), 1  # type: ignore[assignment]
    assert [worker.should_stop() for _ in range(3)] == ["keep"] * 3


def test_a_stop_before_the_first_step_leaves_the_result_that_a_run_had_before_it_was_resumed(
    home: Home, data: DatasetRecord, llama: str
) -> None:
    run = add_run(home, data, llama, **LONG)
    worker = start_worker(home, run)
    wait_for(lambda: len(steps_of(home, run)) >= 21)
    home.workspace().runs.request_stop(run, "keep")
    assert worker.wait(30) == 0, log_of(home, run)
    before, runs = record_of(home, run), home.workspace().runs
    assert before.has_result and before.best_step and before.metrics
    shutil.rmtree(runs.folder(run).checkpoints)  # so it starts again
    runs.set_status(run, "queued", stop_wish="keep")
    home.queue.enqueue("default", run)
    assert start_worker(home, run).wait(60) == 0, log_of(home, run)
    after = record_of(home, run)
    assert (after.status, after.has_result) == ("stopped", True)
    assert (after.best_step, after.metrics) == (before.best_step, before.metrics)
    assert f"from step {before.best_step}" in after.reason and "no result" not in after.reason
