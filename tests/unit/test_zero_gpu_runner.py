"""The runner of a ZeroGPU Space: how long it asks for a GPU, and what a run is told that gets none."""

import fcntl
import multiprocessing
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from studio.machine import facts
from studio.machine.environment import ONE_RUN
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.limits import Limits
from studio.schema.runs import RunSpec
from studio.services.runners import RUNNER_VARIABLE, RUNNERS, default_runner, zero_gpu
from studio.services.runners.base import RunHandle
from studio.services.runners.worker_processes import WorkerProcesses
from studio.services.runners.zero_gpu import ZeroGpuRunner, seconds_of_call
from studio.store import Home, Workspace
from studio.ui.zero_gpu_space import GPU
from studio.worker.run import Worker


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """The workspace of a demo's visitor, whose runs may train for a minute."""
    home = Home(tmp_path / "home")
    home.keep_demo_limits(Limits(run_minutes=1))
    opened = home.workspace("visitor-" + "a" * 32)
    yield opened
    opened.close()


@pytest.fixture
def runner(workspace: Workspace) -> ZeroGpuRunner:
    return ZeroGpuRunner(workspace.home, WorkerProcesses(workspace.home.root))


def queued(workspace: Workspace, seconds: float) -> RunHandle:
    """A queued run that is estimated to take so many seconds."""
    config = TrainingConfig(task="chat", model="starter-chat")
    data = DatasetSpec(task="chat", roles={"question": "prompt", "answer": "response"})
    spec = RunSpec(
        config=config,
        dataset="d",
        dataset_version=1,
        data=data,
        splits=SplitSpec(),
        runner=ZeroGpuRunner.name,
        seconds=seconds,
    )
    return RunHandle(workspace, workspace.runs.create(spec).id)


def wait_for_call(runner: ZeroGpuRunner) -> None:
    runner._call.join(10)
    assert not runner._call.is_alive()


def asked(monkeypatch: pytest.MonkeyPatch, call: Callable[..., int]) -> None:
    monkeypatch.setattr(zero_gpu, "gpu_call", lambda: call)


@pytest.mark.parametrize(("estimate", "seconds"), [(10, 45), (59, 90), (0, 90)])
def test_a_run_asks_for_the_estimated_time_with_a_reserve_and_never_for_more_than_allowed(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace, runner: ZeroGpuRunner, estimate: float, seconds: int
) -> None:
    calls: list[tuple[object, ...]] = []
    asked(monkeypatch, lambda *given: calls.append(given) or 0)
    run = queued(workspace, estimate)
    runner.submit(run)
    wait_for_call(runner)
    assert calls == [(str(workspace.home.root), workspace.name, run.id, seconds, 7860)]
    assert seconds_of_call(*calls[0]) == seconds


def test_a_run_that_takes_longer_than_a_call_is_refused_before_it_waits(
    workspace: Workspace, runner: ZeroGpuRunner
) -> None:
    run = queued(workspace, 61)
    with pytest.raises(StudioError, match="longer than ZeroGPU lends a GPU") as refused:
        runner.submit(run)
    assert refused.value.code == "limit-reached" and refused.value.valid == "up to 1 min"
    assert not runner.is_submitted(run)


def test_a_run_that_gets_no_gpu_stops_with_the_reason_and_the_next_one_is_called(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace, runner: ZeroGpuRunner
) -> None:
    def refuse(*_: object) -> int:
        raise RuntimeError("You have exceeded your free ZeroGPU quota (90s requested vs. 12s left).")

    asked(monkeypatch, refuse)
    first, second = queued(workspace, 10), queued(workspace, 10)
    for run in (first, second):
        runner.submit(run)
        wait_for_call(runner)
        record = workspace.runs.get(run.id)
        assert record.status == "stopped" and not runner.is_submitted(run)
        assert "ZeroGPU lent no GPU: You have exceeded your free ZeroGPU quota" in record.reason


def test_one_run_is_called_at_a_time(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace, runner: ZeroGpuRunner
) -> None:
    began, goes_on, calls = threading.Event(), threading.Event(), []

    def train(home: str, name: str, run: str, *_: object) -> int:
        calls.append(run)
        began.set()
        goes_on.wait(10)
        workspace.home.queue.remove(run)  # as its worker does at the end
        return 0

    asked(monkeypatch, train)
    first, second = queued(workspace, 10), queued(workspace, 10)
    runner.submit(first)
    runner.submit(second)
    runner.reconcile()
    assert began.wait(10)
    assert calls == [first.id]
    goes_on.set()
    wait_for_call(runner)
    runner.reconcile()
    wait_for_call(runner)
    assert calls == [first.id, second.id]


def test_a_worker_of_a_call_leaves_the_next_run_to_the_runner(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace
) -> None:
    started: list[object] = []
    monkeypatch.setattr("studio.worker.run.start_next_worker", lambda *given, **_: started.append(given))
    worker = Worker(workspace.home, workspace.name, queued(workspace, 10).id)
    worker._start_next_worker()
    assert len(started) == 1
    monkeypatch.setenv(ONE_RUN, "1")
    worker._start_next_worker()
    assert len(started) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="ZeroGPU is Linux")
def test_a_forked_process_keeps_no_connection_and_no_file_lock_of_the_server(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    released, ends = fork.Event(), fork.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        connection, _ = server.accept()
        locked = (tmp_path / "lock").open("w")
        fcntl.flock(locked, fcntl.LOCK_EX)

        def child() -> None:
            zero_gpu._release_inherited(port)
            released.set()
            ends.wait(30)

        process = fork.Process(target=child)
        process.start()
        try:
            assert released.wait(20)
            connection.close()
            locked.close()
            assert client.recv(1) == b"", "the connection is still open"
            with (tmp_path / "lock").open("w") as again:
                fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            ends.set()
            process.join(10)
            client.close()


def test_plans_are_for_the_gpu_of_the_runs_where_the_server_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    facts._gpus.cache_clear()
    facts.machine_facts.forget()
    monkeypatch.setenv(facts.GPU_OF_RUNS, GPU)
    try:
        (gpu,) = facts.machine_facts().gpus
        assert gpu.memory_total == 48 << 30 and gpu.memory_available < gpu.memory_total
    finally:
        facts._gpus.cache_clear()
        facts.machine_facts.forget()


def test_the_variable_chooses_the_runner_that_takes_the_place_of_local(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default_runner() == "local"
    monkeypatch.setenv(RUNNER_VARIABLE, ZeroGpuRunner.name)
    assert RUNNERS[default_runner()] is ZeroGpuRunner
