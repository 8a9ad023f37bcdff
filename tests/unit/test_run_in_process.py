"""A function in a process of its own: its result, progress, errors and limits come back, and nothing is left."""

import logging
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from process_functions import refuse

from studio.machine.environment import child_environment
from studio.machine.run_in_process import (
    ProcessCancelled,
    ProcessCrashed,
    ProcessLimits,
    ProcessOutOfMemory,
    ProcessTimeout,
    run_in_process,
)
from studio.schema.errors import CODES, StudioError

FUNCTIONS = "tests.unit.process_functions"
FIELDS = ("code", "what", "given", "valid", "hint", "field", "rows")


def call(name: str, **arguments: Any) -> Any:
    return run_in_process(f"{FUNCTIONS}:{name}", arguments)


def no_processes_left() -> bool:
    return not [each for each in psutil.Process().children() if "process_main" in " ".join(each.cmdline())]


def test_the_result_comes_back() -> None:
    assert call("add", a=1, b=2) == 3
    assert run_in_process(os.path.basename.__module__ + ":basename", {"p": "a/b"}) == "b"


def test_the_result_comes_back_to_a_thread_and_to_many_at_once() -> None:
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda number: call("add", a=number, b=1), range(8))) == list(range(1, 9))


def test_progress_arrives_in_order_and_prints_do_not_disturb_it() -> None:
    seen: list[tuple[int, str]] = []
    arguments = {"to": 2_000}
    assert run_in_process(f"{FUNCTIONS}:count", arguments, progress=lambda *each: seen.append(each)) == "counted"
    assert seen == [(number, f"number {number}") for number in range(2_000)]
    assert call("count", to=3) == "counted", "progress is optional"


def test_cancel_ends_it_within_2_seconds_and_lets_it_clean_up(tmp_path: Path) -> None:
    cancel, file = threading.Event(), tmp_path / "half"
    started: list[float] = []

    def stop() -> None:
        assert file.exists() or started
        started.append(time.monotonic())
        cancel.set()

    with pytest.raises(ProcessCancelled) as caught:
        run_in_process(f"{FUNCTIONS}:write_until_stopped", {"path": str(file)}, progress=stop, cancel=cancel)
    assert time.monotonic() - started[0] < 2
    assert caught.value.code == "wrong-state" and not file.exists() and no_processes_left()


def test_a_process_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.machine.run_in_process.GRACE", 0.3)
    cancel = threading.Event()
    with pytest.raises(ProcessCancelled):
        run_in_process(f"{FUNCTIONS}:ignore_sigterm", progress=cancel.set, cancel=cancel)
    assert no_processes_left()


def test_an_error_of_the_progress_callback_ends_the_process(tmp_path: Path) -> None:
    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_in_process(f"{FUNCTIONS}:write_until_stopped", {"path": str(tmp_path / "half")}, progress=fail)
    assert not list(tmp_path.iterdir()) and no_processes_left()


@pytest.mark.slow
def test_a_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "from studio.machine.run_in_process import run_in_process\n"
        f"run_in_process('{FUNCTIONS}:write_until_stopped', {{'path': {str(tmp_path / 'half')!r}}}, progress=print)"
    )
    with psutil.Popen([sys.executable, "-u", "-c", code], stdout=-1) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        children = parent.children()
        parent.kill()
    gone, _ = psutil.wait_procs(children, timeout=10)
    assert len(gone) == 1 and not list(tmp_path.iterdir())


def test_too_much_memory_is_an_error_of_its_own() -> None:
    assert run_in_process(f"{FUNCTIONS}:take_memory", {"size": 1 << 20}, ProcessLimits(memory=1 << 30)) == 1 << 20
    with pytest.raises(ProcessOutOfMemory) as caught:
        run_in_process(f"{FUNCTIONS}:take_memory", {"size": 1 << 31}, ProcessLimits(memory=1 << 30))
    assert caught.value.code == "out-of-memory" and "1 GB" in caught.value.what


def test_too_much_time_is_an_error_of_its_own(tmp_path: Path) -> None:
    began, file = time.monotonic(), tmp_path / "half"
    with pytest.raises(ProcessTimeout) as caught:
        run_in_process(f"{FUNCTIONS}:write_until_stopped", {"path": str(file)}, ProcessLimits(seconds=0.5))
    assert caught.value.code == "limit-reached" and "0.5 seconds" in caught.value.what
    assert time.monotonic() - began < 5 and not file.exists()


def test_a_process_that_is_killed_is_out_of_memory_most_likely() -> None:
    with pytest.raises(ProcessOutOfMemory) as caught:
        call("kill_self")
    assert caught.value.code == "out-of-memory" and caught.value.hint and caught.value.returncode == -9


def test_a_process_that_it_started_does_not_keep_the_caller_waiting() -> None:
    pids: list[int] = []
    began = time.monotonic()
    with pytest.raises(ProcessOutOfMemory):
        run_in_process(f"{FUNCTIONS}:start_another", progress=pids.append)
    assert time.monotonic() - began < 5
    psutil.Process(pids[0]).kill()


def same(one: StudioError, other: StudioError) -> bool:
    fields = ("code", "what", "hint", "field", "rows", "message")
    return all(getattr(one, name) == getattr(other, name) for name in fields) and all(
        same(mine, its) for mine, its in zip(one.problems, other.problems, strict=True)
    )


def test_an_error_keeps_every_field_and_its_problems() -> None:
    with pytest.raises(StudioError) as caught:
        call("refuse")
    with pytest.raises(StudioError) as here:
        refuse()
    assert same(caught.value, here.value)
    first, second, third = caught.value.problems
    assert (first.given, first.valid, first.hint, first.field, first.rows) == (
        9,
        ["1", "2"],
        "Lower it.",
        "epochs",
        (3,),
    )
    assert (second.given, second.valid, second.rows) == ("rows.csv", "a number", (0, 1))
    assert (third.given, third.valid, len(third.problems)) == (["a", 1], ["x"], 2)


@pytest.mark.parametrize("code", CODES)
def test_an_error_of_each_code_is_the_same_after_the_codec(code: str) -> None:
    error = StudioError(code, "What.", given="x" * 300, valid=range(3), hint="Hint.", field="field", rows=(1, 2))
    assert same(StudioError.from_dict(error.to_dict()), error)


def test_an_unknown_code_of_another_version_is_unexpected() -> None:
    assert StudioError.from_dict({"code": "of-tomorrow", "what": "What."}).code == "unexpected"


def test_all_texts_of_an_error_can_be_changed() -> None:
    with pytest.raises(StudioError) as caught:
        refuse()
    changed = caught.value.with_texts(str.upper)
    assert changed.message == "\n".join(problem.with_texts(str.upper).message for problem in caught.value.problems)
    assert "TOO HIGH." in changed.message and changed.problems[1].given == "ROWS.CSV" and changed.problems[0].given == 9


def test_an_unexpected_error_has_a_number_that_the_log_has_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(ProcessCrashed) as caught:
        call("divide")
    error = caught.value
    assert error.code == "unexpected" and len(error.number) == 6 and error.number in error.hint
    assert error.number in caplog.text and "ZeroDivisionError" in caplog.text
    assert error.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize(("name", "status"), [("exit_silently", 3), ("return_no_json", 0), ("no_such_function", 0)])
def test_a_process_that_has_no_result_is_unexpected(name: str, status: int) -> None:
    with pytest.raises(ProcessCrashed) as caught:
        call(name)
    assert caught.value.number and caught.value.returncode == status


def test_it_inherits_no_descriptors_and_leaves_none_open(tmp_path: Path) -> None:
    def descriptors() -> list[str]:
        return sorted(os.listdir("/proc/self/fd"))

    with (tmp_path / "mine").open("w") as mine:
        os.set_inheritable(mine.fileno(), True)
        before = descriptors(), threading.active_count()
        inherited = call("facts")["descriptors"]
        for name in ("add", "kill_self", "divide"):
            with pytest.raises(StudioError):
                call(name, **({"a": 1} if name == "add" else {}))
        assert (descriptors(), threading.active_count()) == before
    assert len(inherited) <= 5 and all(each.startswith(("pipe:", "/proc/")) for each in inherited), inherited


def test_environment_threads_and_priority_are_as_the_caller_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_private")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    usual = call("facts")
    assert usual["environment"]["HF_TOKEN"] and usual["environment"]["OMP_NUM_THREADS"] == "1"
    limits = ProcessLimits(environment=child_environment(visitors=True), threads=None, nice=5)
    other = run_in_process(f"{FUNCTIONS}:facts", limits=limits)
    assert "HF_TOKEN" not in other["environment"] and other["environment"]["OMP_NUM_THREADS"] == "7"
    assert other["nice"] == usual["nice"] + 5


def test_a_function_in_a_file_runs_without_the_studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "alone.py"
    file.write_text("import sys\ndef modules(): return [each for each in sys.modules if each.startswith('studio')]")
    loaded = run_in_process(f"{file}:modules")
    assert set(loaded) == {"studio", "studio.machine", "studio.machine.process_limits"}
