"""What the tests under faults share: a home, a tiny model, a run that nothing befell, and the table in docs/."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
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

ALL = os.environ.get("STUDIO_FAULTS") == "all"
"""`make test-faults` takes every moment and writes the table; `make test` takes a fair sample."""
collect_ignore = [] if ALL else ["test_spoiled_machine_whole.py"]
SETTINGS: dict[str, Any] = {
    "precision": "float32", "learning_rate": 1e-2, "max_length": 96, "epochs": 2, "eval_steps": 5,
    "early_stopping_patience": 0, "test_prompts": ("Where is my parcel?",), "lora_dropout": 0.1,
}  # fmt: skip
"""18 steps, a check and a checkpoint every 5."""
LINES = 50
"""Lines that the whole table has at the least; a part of the tests does not write it."""
TABLE = HERE.parent.parent / "docs" / "faults.md"
Told = Callable[[str, str, str], None]
HEAD = """<!-- Made by `make test-faults`: run it again after a change. -->
# Under faults

What happens to a run when something happens to the machine: each line is a real process that was really ended, or a
disk, a database, a clock that was really spoiled, and the run that went on afterwards. A run that goes on ends with
the losses of one that nothing befell, step by step.

"""


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
    """The losses of a run that nothing befell, by step; its best validation loss under 0."""
    home = Home(tmp_path_factory.mktemp("unharmed"))
    run = add_run(home, add_sample(home, "support-tone", 40), llama, **SETTINGS)
    assert start_worker(home, run).wait(120) == 0
    record = home.workspace().runs.get(run)
    return {0: record.metrics["eval_loss"], **{event.step: event.loss for event in steps_of(home, run)}}


@pytest.fixture
def studio(home: Home) -> Iterator[Studio]:
    made = Studio(home)
    yield made
    made.close()


def same(home: Home, run: str, unharmed: dict[int, float]) -> None:
    """Every step as if nothing had happened."""
    losses = {event.step: event.loss for event in steps_of(home, run)}
    assert losses == pytest.approx({step: loss for step, loss in unharmed.items() if step}, abs=1e-5)


def go_on(studio: Studio, run: str) -> None:
    studio.resume(run)
    wait_for(lambda: studio.run(run).status not in ("queued", "starting", "training", "stopping"))
    assert studio.run(run).status == "finished", studio.run(run)


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Told:
    """A line of the table: what befell, at which moment, and what was found afterwards."""
    return lambda what, moment, found: record_property("fault", [what, moment, found])


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table, and write it when it is whole."""
    reports = terminalreporter.stats.get("passed", [])
    rows = [value for each in reports for name, value in each.user_properties if name == "fault"]
    failed = terminalreporter.stats.get("failed", []) + terminalreporter.stats.get("error", [])
    lines = ["| what befell | at which moment | what was found afterwards |", "|---|---|---|"]
    lines += [f"| {what} | {moment} | {found} |" for what, moment, found in rows]
    if rows:
        terminalreporter.write_line("\n".join(lines))
    if ALL and len(rows) >= LINES and not failed:
        TABLE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
