"""Questions of the command line and how they are left: answered with no, with Ctrl-C, with the end of the input."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from studio.cli.main import run
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.runs import RunSpec
from studio.store import Home
from tests.signals import heed_ctrl_c
from tests.unit.test_cli_models import code_of

CTRL_D = b"\x04"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


@pytest.fixture
def ended(home: Home) -> str:
    """A run that was stopped."""
    data = DatasetSpec(task="chat", roles={"q": "prompt", "a": "reply"})
    config = TrainingConfig(task="chat", model="starter-chat", name="tone")
    runs = home.workspace().runs
    made = runs.create(RunSpec(config=config, dataset="d", dataset_version=1, data=data, splits=SplitSpec()))
    runs.set_status(made.id, "stopped")
    return made.id


def at_a_terminal(arguments: list[str], question: str, answer: bytes | None) -> tuple[int, str]:
    """A command whose stdin is a terminal: what is typed when the question stands there, None being Ctrl-C as a signal.
    Its status, and all that it said on stderr."""
    typing, terminal = os.openpty()
    command = [sys.executable, "-m", "studio", *arguments]
    with subprocess.Popen(
        command, stdin=terminal, stderr=subprocess.PIPE, preexec_fn=heed_ctrl_c, start_new_session=True
    ) as process:
        os.close(terminal)
        assert process.stderr is not None
        said = b""
        while question.encode() not in said and (byte := process.stderr.read(1)):
            said += byte
        if answer is None:
            process.send_signal(signal.SIGINT)
        else:
            os.write(typing, answer)
        said += process.stderr.read()
        process.wait(timeout=20)
    os.close(typing)
    return process.returncode, said.decode()


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "end"), [(b"n\n", ""), (None, "\n")], ids=["no", "Ctrl-C"])
def test_a_run_is_not_deleted_when_the_question_is_not_answered_with_yes(
    home: Home, ended: str, answer: bytes | None, end: str
) -> None:
    status, said = at_a_terminal(["delete", ended], "[y/N]:", answer)
    assert status == 1
    assert said == f"Delete tone ({ended}) with its checkpoints, result and exports? [y/N]:{end}Nothing was done.\n"
    assert home.workspace().runs.get(ended).status == "stopped"
    assert not list((home.root / "logs").glob("error-*"))


@pytest.mark.slow
def test_a_token_that_is_not_typed_is_refused(home: Home) -> None:
    status, said = at_a_terminal(["token"], "Hub token: ", CTRL_D)
    assert status == 2 and "No token was given" in said and not home.hub_token()


class Terminal(io.StringIO):
    """What is typed at a terminal; KeyboardInterrupt where `stopped`, as Ctrl-C makes of reading a line."""

    stopped = False

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:
        if self.stopped:
            raise KeyboardInterrupt
        return super().readline(-1 if size is None else size)


Leave = Callable[[], None]


@pytest.fixture(params=["Ctrl-C", "Ctrl-D"])
def leave(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Leave:
    """Has the next question be left in one of two ways."""

    def leaving() -> None:
        terminal = Terminal("")
        terminal.stopped = request.param == "Ctrl-C"
        monkeypatch.setattr(sys, "stdin", terminal)

    return leaving


def test_a_run_is_deleted_when_the_question_is_answered_with_yes(
    home: Home, ended: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert run(["delete", ended]) == 0
    assert f"{ended} is deleted." in capfd.readouterr().err
    assert home.workspace().runs.all() == []


def test_the_question_of_trust_can_be_left_and_nothing_is_trusted(
    home: Home, tmp_path: Path, leave: Leave, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = code_of(tmp_path / "coded")
    leave()
    assert run(["trust", str(folder)]) == 1
    said = capfd.readouterr().err
    assert "could run a program on this machine" in said and said.endswith("\nNothing was done.\n")
    assert not home.trusted_models() and not list((home.root / "logs").glob("error-*"))


def test_the_question_about_labels_can_be_left_and_none_is_merged(
    home: Home, tmp_path: Path, leave: Leave, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text\n" + "".join(f"message {n} about parcels\n" for n in range(12)))
    assert run(["data", "add", str(rows)]) == run(["label", "names", "last", "parcel", "package"]) == 0
    assert run(["label", "put", "last", "1", "package"]) == 0
    leave()
    capfd.readouterr()
    assert run(["label", "merge", "last", "package", "parcel"]) == 1
    said = capfd.readouterr().err
    assert "Merge package into parcel" in said and said.endswith("\nNothing was done.\n")
    assert run(["label", "show", "last", "--json"]) == 0
    assert '"package": 1' in capfd.readouterr().out
    assert not list((home.root / "logs").glob("error-*"))
