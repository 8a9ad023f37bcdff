"""What `make setup` and `make bench` do on all kinds of machines: the scripts, with programs that only note a call."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PYTHON = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
    *importlib.metadata*) exit ${NO_TORCH:-0} ;;
    *urllib.request*) exit ${NO_INDEX:-0} ;;
    *--index-url*) exit ${INDEX_BREAKS:-0} ;;
    *--constraint*) exit ${NO_SUCH_VERSIONS:-0} ;;
    *--editable*) exit ${NOTHING_FITS:-0} ;;
    *broken.py) exit 1 ;;
esac
"""
Install = Callable[..., tuple[int, list[str], str]]


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a Linux machine without a GPU, whose programs are those of its bin/ and of the system."""
    program(tmp_path / "venv" / "bin" / "python", PYTHON)
    program(tmp_path / "bin" / "uname", "#!/bin/sh\necho ${SYSTEM:-Linux}\n")
    program(tmp_path / "bin" / "nvidia-smi", "#!/bin/sh\nexit ${NO_GPU:-1}\n")
    return {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls")}


@pytest.fixture
def install(tmp_path: Path, machine: dict[str, str]) -> Install:
    """install.sh with a machine of some kind: its status, what pip was asked for, and what was said."""

    def installing(*extra: str, **kind: str) -> tuple[int, list[str], str]:
        (tmp_path / "calls").unlink(missing_ok=True)
        done = subprocess.run(
            [ROOT / "scripts" / "install.sh", tmp_path / "venv", *extra],
            env={**machine, **kind},
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        calls = (tmp_path / "calls").read_text().splitlines()
        pip = [call.partition("--disable-pip-version-check ")[2] for call in calls if call.startswith("-m pip")]
        return done.returncode, pip, done.stderr

    return installing


PINNED = "install --quiet --constraint constraints.txt --editable ."


no_gpu = pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="the script rightly sees the GPU of this machine")


@no_gpu
def test_torch_comes_from_the_cpu_index_where_it_answers(install: Install) -> None:
    status, pip, said = install(NO_TORCH="1")
    torch = f"install --quiet --index-url {CPU_INDEX} --constraint constraints.txt torch"
    assert (status, pip) == (0, [torch, PINNED]) and CPU_INDEX in said


@no_gpu
def test_a_torch_that_is_there_is_kept(install: Install) -> None:
    assert install()[:2] == (0, [PINNED])


@no_gpu
def test_where_the_index_does_not_answer_pip_looks_where_it_always_does(install: Install) -> None:
    assert install(NO_TORCH="1", NO_INDEX="1")[:2] == (0, [PINNED])


@no_gpu
def test_an_index_that_breaks_off_is_said_and_gone_on_without(install: Install) -> None:
    status, pip, said = install(NO_TORCH="1", INDEX_BREAKS="1")
    assert status == 0 and pip[-1] == PINNED and "did not work" in said


@no_gpu
def test_another_system_takes_torch_as_it_comes(install: Install) -> None:
    assert install(NO_TORCH="1", SYSTEM="Darwin")[:2] == (0, [PINNED])


def test_a_machine_with_a_gpu_takes_torch_as_it_comes(install: Install) -> None:
    assert install(NO_TORCH="1", NO_GPU="0")[:2] == (0, [PINNED])


def test_versions_that_can_not_be_had_give_way_to_what_the_project_allows(install: Install) -> None:
    status, pip, said = install("test", NO_SUCH_VERSIONS="1")
    assert status == 0 and pip == [f"{PINNED}[test]", "install --quiet --editable .[test]"]
    assert "can't all be had" in said


def test_an_installation_that_fails_ends_the_setup(install: Install) -> None:
    assert install(NO_SUCH_VERSIONS="1", NOTHING_FITS="1")[0] == 1


# --- a browser for the tests ---


def browser(tmp_path: Path, programs: dict[str, str], user: str = "1000") -> tuple[int, list[str]]:
    """chromium.sh where only these programs are found: its status, and what was called."""
    calls = tmp_path / "calls"
    calls.write_text("")
    for name in ("sh", "command"):
        if (found := Path(f"/bin/{name}")).exists():
            (tmp_path / "bin").mkdir(exist_ok=True)
            (tmp_path / "bin" / name).symlink_to(found)
    note = f'#!/bin/sh\necho "{{name}} $*" >> {calls}\n'
    for name, text in {"id": f"echo {user}", **programs}.items():
        program(tmp_path / "bin" / name, note.format(name=name) + text + "\n")
    program(tmp_path / "venv" / "bin" / "playwright", note.format(name="playwright"))
    done = subprocess.run(
        [ROOT / "scripts" / "chromium.sh", tmp_path / "venv"],
        env={"PATH": str(tmp_path / "bin"), "BIN": str(tmp_path / "bin")},
        capture_output=True,
        text=True,
    )
    return done.returncode, [call for call in calls.read_text().splitlines() if not call.startswith("id")]


def test_the_systems_own_browser_is_taken(tmp_path: Path) -> None:
    assert browser(tmp_path, {"google-chrome": "exit 0"}) == (0, ["google-chrome --version"])


def test_a_stub_that_only_tells_how_to_install_it_is_no_browser(tmp_path: Path) -> None:
    status, calls = browser(tmp_path, {"chromium-browser": "exit 1", "apt-get": "exit 0"})
    assert status == 0 and calls == ["chromium-browser --version", "playwright install chromium"]


def test_root_gets_it_by_apt_get(tmp_path: Path) -> None:
    brings = 'case "$1" in install) echo "#!/bin/sh" > $BIN/chromium; /bin/chmod +x $BIN/chromium ;; esac'
    status, calls = browser(tmp_path, {"apt-get": brings}, user="0")
    assert status == 0 and [call.split()[1] for call in calls] == ["update", "install"] and "chromium" in calls[1]


@pytest.mark.parametrize("apt", ["exit 100", "exit 0"])
def test_where_apt_get_brings_none_playwright_brings_its_own(apt: str, tmp_path: Path) -> None:
    status, calls = browser(tmp_path, {"apt-get": apt}, user="0")
    assert status == 0 and calls[-1] == "playwright install chromium"


# --- make ---


def test_make_bench_runs_every_benchmark_and_fails_at_the_end_by_name(tmp_path: Path, machine: dict[str, str]) -> None:
    """The Makefile in a folder of its own, where all is installed already."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "scripts/install.sh", "scripts/chromium.sh"):
        program(tmp_path / name, (ROOT / name).read_text())
    (tmp_path / "venv").rename(tmp_path / ".venv")
    for name in (".installed", ".testable"):
        (tmp_path / ".venv" / name).touch()
    for name in ("a_first", "broken", "c_last", "no_program"):
        main = "" if name == "no_program" else 'if __name__ == "__main__": ...'
        (tmp_path / "benchmarks").mkdir(exist_ok=True)
        (tmp_path / "benchmarks" / f"{name}.py").write_text(main)
    plain = {name: value for name, value in machine.items() if not name.startswith(("MAKE", "MFLAGS"))}

    def bench() -> "subprocess.CompletedProcess[str]":
        return subprocess.run(["make", "bench"], cwd=tmp_path, env=plain, capture_output=True, text=True)

    done = bench()
    called = [call for call in (tmp_path / "calls").read_text().splitlines() if call.startswith("benchmarks/")]
    assert called == ["benchmarks/a_first.py", "benchmarks/broken.py", "benchmarks/c_last.py"]
    assert done.returncode != 0 and "benchmarks/broken.py" in done.stderr and "a_first" not in done.stderr
    (tmp_path / "benchmarks" / "broken.py").unlink()
    assert bench().returncode == 0
