"""Locks between processes, and packages that two projects install at the same time."""

import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Event, Thread

import pytest

from studio.machine import tool_environment
from studio.machine.locks import alone, try_lock
from studio.machine.tool_environment import ToolEnvironment
from studio.schema.errors import StudioError

HOLDER = """
import sys, time
from pathlib import Path
from studio.machine.locks import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def silent(*_: object) -> None: ...


@pytest.fixture
def environment(tmp_path: Path) -> ToolEnvironment:
    """An environment without packages."""
    requirements = tmp_path / "none.txt"
    requirements.write_text("# nothing\n")
    return ToolEnvironment("none", "empty tool", "Nothing.", requirements, "Do nothing.", sees_studio=False)


def test_a_lock_of_another_process_is_waited_for_and_freed_when_that_process_is_killed(tmp_path: Path) -> None:
    path, waits = tmp_path / "place", []
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"

    def waiting() -> None:
        waits.append(1)
        if len(waits) == 2:
            holder.kill()
            holder.communicate()

    with alone(path, waiting):
        with path.with_name(".place.lock").open("w") as again:
            assert not try_lock(again), "the same process waits, too"
    assert len(waits) >= 2
    with path.with_name(".place.lock").open("w") as again:
        assert try_lock(again)


def test_an_error_of_the_file_system_is_no_lock_of_another_process(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_CREAT | os.O_RDWR)
    os.close(descriptor)
    with pytest.raises(OSError):
        try_lock(descriptor)


@pytest.mark.slow
def test_two_installations_at_once_make_one_environment_and_the_second_says_that_it_waits(
    environment: ToolEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, commands, messages = ToolEnvironment._run, [], []

    def slow(self: ToolEnvironment, command: list[str], cancel: Event) -> None:
        commands.append(command)
        if "venv" in command:
            run(self, [*command, "--without-pip"], cancel)
        time.sleep(0.5)

    monkeypatch.setattr(ToolEnvironment, "_run", slow)
    tools, errors = tmp_path / "tools", []

    def install() -> None:
        try:
            environment.install(tools, lambda _done, _total, message: messages.append(message), Event())
        except BaseException as error:
            errors.append(error)

    both = [Thread(target=install) for _ in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join()
    assert not errors and environment.is_ready(tools)
    assert [command[1:4] for command in commands] == [["-P", "-m", "venv"], ["-P", "-m", "pip"]]
    assert "Waiting for another installation to end" in messages


def test_who_waits_for_another_installation_can_cancel(environment: ToolEnvironment, tmp_path: Path) -> None:
    tools, cancel = tmp_path / "tools", Event()
    tools.mkdir()
    with alone(environment.folder(tools)):
        cancel.set()
        with pytest.raises(StudioError, match="cancelled"):
            environment.install(tools, silent, cancel)
    assert not environment.folder(tools).exists() and tool_environment.MARK == "installed"
