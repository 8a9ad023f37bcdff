"""What the tests under faults share: a home, a tiny model, an undisturbed run, and the table in docs/."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "real"))  # the helpers of tests/real serve here too

from made_runs import tiny_llama  # noqa: E402
from worker_runs import add_run, add_sample, start_worker, steps_of, wait_for  # noqa: E402

from studio.api import Studio  # noqa: E402
from studio.schema.dataset import DatasetRecord  # noqa: E402
from studio.store import Home  # noqa: E402

from .table import EVERY, HEAD, lines, missing  # noqa: E402

ALL = os.environ.get("STUDIO_FAULTS") == "all"
"""`make test-faults` takes every moment and writes the table; `make test` takes a fair sample."""
collect_ignore = [] if ALL else ["test_spoiled_machine_whole.py"]
SETTINGS: dict[str, Any] = {
    "precision": "float32",
    "learning_rate": 1e-2,
    "max_length": 96,
    "epochs": 2,
    "eval_steps": 5,
    "early_stopping_patience": 0,
    "test_prompts": ("Where is my parcel?",),
    "lora_dropout": 0.1,
}
"""18 steps, a check and a checkpoint every 5."""
TABLE = HERE.parent.parent / "docs" / "background" / "failures.md"
Told = Callable[[str, str, str], None]


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_llama(tmp_path_factory.mktemp("llama") / "tiny").path)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    made = Home(tmp_path / "home")
    yield made
    made.workspace().close()
    for process in psutil.process_iter(["cmdline"]):  # a worker that outlives a test that failed
        if str(made.root) in (process.info["cmdline"] or ()):
            with suppress(psutil.Error):
                process.kill()


@pytest.fixture
def data(home: Home) -> DatasetRecord:
    return add_sample(home, "support-tone", 40)


@pytest.fixture(scope="session")
def unharmed(tmp_path_factory: pytest.TempPathFactory, llama: str) -> dict[int, float]:
    """The losses of an undisturbed run, by step; its best validation loss under 0."""
    home = Home(tmp_path_factory.mktemp("unharmed"))
    run = add_run(home, add_sample(home, "support-tone", 40), llama, **SETTINGS)
    assert start_worker(home, run).wait(120) == 0
    record = home.workspace().runs.get(run)
    return {0: record.metrics["eval_loss"], **{event.step: event.loss for event in steps_of(home, run)}}


@pytest.fixture
def studio(home: Home) -> Iterator[Studio]:
    made = Studio(home.root)
    yield made
    made.close()


def halt(home: Home, worker: "subprocess.Popen[Any]") -> None:
    """Stop a worker in its tracks, but not in the middle of a transaction, which would lock out everybody else."""
    for _ in range(400):
        os.kill(worker.pid, signal.SIGSTOP)
        if all(_unlocked(path) for path in (home.root / "queue.db", home.workspace().root / "studio.db")):
            return
        os.kill(worker.pid, signal.SIGCONT)
        time.sleep(0.01)
    raise AssertionError("it writes all the time")


def _unlocked(path: Path) -> bool:
    with closing(sqlite3.connect(path, timeout=0.05, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        other.execute("ROLLBACK")
    return True


def same(home: Home, run: str, unharmed: dict[int, float]) -> None:
    """Every step as if nothing had happened."""
    losses = {event.step: event.loss for event in steps_of(home, run)}
    assert losses == pytest.approx({step: loss for step, loss in unharmed.items() if step}, abs=1e-5)


def go_on(studio: Studio, run: str) -> None:
    studio.runs.resume(run)
    wait_for(lambda: studio.runs.get(run).status not in ("queued", "starting", "training", "stopping"), studio=studio)
    assert studio.runs.get(run).status == "finished", studio.runs.get(run)


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Told:
    """A line of the table: failure, moment and result."""

    def tell(what: str, moment: str, found: str) -> None:
        assert (what, moment) in EVERY, "a line that the table does not know"
        record_property("fault", [what, moment, found])

    return tell


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table, and write it when it is whole."""
    reports = terminalreporter.stats.get("passed", [])
    rows = [value for each in reports for name, value in each.user_properties if name == "fault"]
    table = lines(rows)
    if not rows:
        return
    terminalreporter.write_line("\n".join(table))
    if ALL and (lack := missing(rows)):
        terminalreporter.write_line(f"{TABLE.name} stays as it was; {len(lack)} of {len(EVERY)} lines are missing:")
        terminalreporter.write_line("\n".join(f"- {each}" for each in lack))
    elif ALL:
        TABLE.write_text(HEAD + "\n".join(table) + "\n", encoding="utf-8")
