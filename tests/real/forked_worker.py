"""The worker's own process, forked from one that has imported all that a run needs: the import alone takes seconds.

All else is as `python -m studio.worker` has it: a session, a log, an environment and cores of its own. Tests about the
import, or about a worker that has not imported yet, start one afresh (`worker_runs.start_worker(…, fresh=True)`).
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

from studio.api import Studio
from studio.api.base import Shared
from studio.services.runners.local import LocalRunner
from studio.store import Home

IMPORTED = ["studio.training.run", "studio.training.trainers.classification", "studio.training.trainers.sft",
            "peft", "trl.chat_template_utils", "datasets", "deepspeed"]  # fmt: skip
AT_IMPORT = {"HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu"}
"""Read once, when libraries are imported."""


class Forked:
    """A worker at work, with what the tests ask of a `subprocess.Popen`."""

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str]) -> None:
        cores = sorted(os.sched_getaffinity(0))
        given = arguments, str(log), environment, cores
        self._process = _server().Process(target=_work, args=given, daemon=True)
        with _environment(AT_IMPORT):
            self._process.start()
        assert self._process.pid
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise TimeoutError(f"the worker is still at work after {timeout} s")
        return status

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


@cache
def _server() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    return context


@contextmanager
def _environment(more: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(more)
    yield
    os.environ.clear()
    os.environ.update(before)


def _work(arguments: list[str], log: str, environment: dict[str, str], cores: list[int]) -> None:
    """In the new process: what starting it afresh would have set."""
    os.setsid()
    os.sched_setaffinity(0, cores)
    os.environ.clear()
    os.environ.update(environment)
    from studio.worker.__main__ import main
    from studio.worker.logs import write_to

    write_to(Path(log))
    sys.exit(main(arguments))


class ForkingRunner(LocalRunner):
    """Starts workers as the studio does, but for the import."""

    def start(self, workspace: str, run: str, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        arguments = ["--home", str(self.home), "--workspace", workspace, run]
        self._attend(Forked(arguments, log, dict(os.environ)), workspace, run)


def studio_in(home: Home | Path) -> Studio:
    """The studio of a home, whose workers are forked."""
    home = home if isinstance(home, Home) else Home(home)
    return Studio(home, shared=replace(Shared.of(home), runner=ForkingRunner(home.root)))
