"""Child processes import no module from the working folder, where a downloaded `json.py` could be."""

import ast
import os
import subprocess
from pathlib import Path

import pytest

import studio
from studio.machine.processes import SAFE_PATH, module_command
from studio.machine.run_in_process import run_in_process
from tests.forked import AFRESH


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that exists when a module of the working folder was imported."""
    mark = tmp_path / "ran"
    for name in ("json", "logging", "argparse", "torch", "numpy"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    return mark


def succeeds(command: list[str], **variables: str) -> bool:
    done = subprocess.run(command, capture_output=True, env={**os.environ, **AFRESH, **variables}, check=False)
    return done.returncode == 0


@pytest.mark.parametrize("module", ["studio.worker", "studio.host"])
def test_a_process_of_the_studio_imports_nothing_from_the_working_folder(module: str, ran: Path) -> None:
    command = module_command(module, "--help")
    assert succeeds(command) and not ran.exists()
    unsafe = [word for word in command if word != "-P"]
    assert succeeds(unsafe, **SAFE_PATH) and not ran.exists(), "as torchrun starts processes"
    assert not succeeds(unsafe) and ran.exists(), "without -P it would be imported"


def test_a_function_in_a_process_of_its_own_imports_nothing_from_the_working_folder(ran: Path) -> None:
    assert run_in_process("os:getcwd") == os.getcwd() and not ran.exists()


def test_every_python_that_the_studio_starts_leaves_out_the_working_folder() -> None:
    commands = []
    for file in Path(studio.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.List) and node.elts and "sys.executable" in ast.unparse(node.elts[0]):
                commands.append((file.name, ast.unparse(node)))
    assert ("processes.py" in dict(commands)) and len(commands) < 5, "module_command makes the others"
    assert [each for each in commands if "'-P'" not in each[1]] == []
