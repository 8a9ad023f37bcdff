"""A process of the studio, forked from one that has imported what it needs: the import alone takes seconds.

All else is as `python -m studio…` has it: a log, an environment and cores of its own. Tests about the import, or about
a process that has not imported yet, start one afresh.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path

from studio.worker.logs import write_to

AT_IMPORT = {
    "HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu", "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_SSR_MODE": "False",
    "GRADIO_RUN_HISTORY": "False", "GRADIO_MCP_SERVER": "False",
}  # fmt: skip
"""Read once, when libraries are imported."""


class Forked:
    """A process at work, with what the tests ask of a `subprocess.Popen`.

    `main` is a function, `package.module:name`, and is given `arguments`. `imported` are modules; the first process
    that is forked says which, for all that follow.
    """

    def __init__(
        self, main: str, arguments: list[str], log: Path, environment: Mapping[str, str], imported: Sequence[str]
    ) -> None:
        given = main, arguments, str(log), dict(environment), sorted(os.sched_getaffinity(0))
        with _environment(AT_IMPORT):
            self._process = _server(imported).Process(target=_work, args=given, daemon=True)
            self._process.start()
        assert self._process.pid
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise TimeoutError(f"it is still at work after {timeout} s")
        return status

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _server(imported: Sequence[str]) -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(list(imported))
    return context


@contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(more)
    yield
    os.environ.clear()
    os.environ.update(before)


def _work(main: str, arguments: list[str], log: str, environment: dict[str, str], cores: list[int]) -> None:
    """In the new process: what starting it afresh would have set."""
    os.setsid()
    os.sched_setaffinity(0, cores)
    os.environ.clear()
    os.environ.update(environment)
    write_to(Path(log))
    module, _, name = main.partition(":")
    sys.exit(getattr(import_module(module), name)(arguments))
