"""This machine: a worker process of its own session that outlives the server, started fresh or taken prepared."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from studio.machine.processes import identity, lives
from studio.schema.runs import RunSpec
from studio.store.home import Home
from studio.store.next_worker import start_worker
from studio.store.queue import Entry

Told = Callable[[str], None]
WATCH_SECONDS = 0.5
"""Between two looks at a worker that another process has started."""


class WorkerProcesses:
    """Starts workers. Holds at most one prepared process: all imports done, waiting for a run or making one ready."""

    title = "This machine"

    def __init__(self, home: Path) -> None:
        self.home = home
        self._prepared: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._aside: tuple[str, str] | None = None
        """The workspace and the id of the run that is made ready."""
        self._told: dict[str, Told] = {}
        self._watched: set[int] = set()
        """Workers whose end a thread waits for; no more of them live than the queue has processes."""

    def prepare(self) -> None:
        """Have a process import everything now, since a person is about to press Start."""
        with self._lock:
            self._prepare()

    def make_ready(self, workspace: str, spec: RunSpec, run: str) -> None:
        """Have it make a run ready, too, that a person may start next; `run` is its id unless one is set aside."""
        with self._lock:
            prepared = self._prepare()
            if self._aside is None or self._aside[0] != workspace:
                self._aside = workspace, run
            told = {
                "home": str(self.home),
                "workspace": workspace,
                "run": self._aside[1],
                "spec": spec.model_dump(mode="json", exclude={"because"}, exclude_defaults=True),
            }
            if not _told(prepared, json.dumps(told)):
                _end(prepared)
                self._prepared = None

    def set_aside(self, workspace: str) -> str:
        """The id of the run that is made ready for a workspace, given once; empty when there is none."""
        with self._lock:
            if self._aside is None or self._aside[0] != workspace:
                return ""
            (_, run), self._aside = self._aside, None
            return run

    def tell(self, workspace: str, told: Told) -> None:
        """Have it called with each run of a workspace whose worker has ended, as long as this process lives."""
        self._told[workspace] = told

    def start(self, workspace: str, run: str, log: Path) -> None:
        """Start a worker for a run in the queue; it waits for its turn by itself."""
        with self._lock:
            prepared, self._prepared = self._prepared, None
        if prepared is None or not _handed(prepared, f"{self.home}\t{workspace}\t{run}"):
            prepared = start_worker(Home(self.home), workspace, run, log)
        self._watched.add(prepared.pid)
        self._watch(prepared.pid, prepared.wait, workspace, run)

    def watch(self, entries: Sequence[Entry]) -> None:
        """Notice the end of workers that other workers have started: to report it, and because the first process of a
        container becomes their parent when theirs has ended."""
        for entry in entries:
            pid = entry.pid
            if pid is None or pid in self._watched or not (entry.workspace in self._told or os.getpid() == 1):
                continue
            self._watched.add(pid)
            self._watch(pid, partial(_wait_for, pid, identity(pid)), entry.workspace, entry.run)

    def _watch(self, pid: int, wait: Callable[[], object], workspace: str, run: str) -> None:
        """A process stays a zombie until its exit status is read."""

        def until_it_ends() -> None:
            wait()
            self._watched.discard(pid)
            if told := self._told.get(workspace):
                told(run)

        threading.Thread(target=until_it_ends, name=f"studio {run}", daemon=True).start()

    def forget(self, workspace: str) -> None:
        """The workspace was removed: stop reporting the ends of its runs."""
        self._told.pop(workspace, None)

    def close(self) -> None:
        """Let the prepared process go; a worker at work is not touched."""
        with self._lock:
            prepared, self._prepared, self._aside = self._prepared, None, None
        if prepared is not None:
            _end(prepared)

    def _prepare(self) -> "subprocess.Popen[bytes]":
        if self._prepared is not None and self._prepared.poll() is not None:
            _end(self._prepared)
            self._prepared = None
        if self._prepared is None:
            self._prepared = subprocess.Popen(
                [sys.executable, "-m", "studio.worker", "--prepared"],
                stdin=subprocess.PIPE,
                bufsize=0,  # a line is there at once or refused, and closing writes nothing
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            assert self._prepared.stdin is not None
            os.set_blocking(self._prepared.stdin.fileno(), False)  # nobody waits for one that does not listen
        return self._prepared


def _wait_for(pid: int, known_identity: str) -> None:
    """Until a process has ended that this one has not started; its exit status is read if it is this one's child."""
    while lives(pid, known_identity):
        time.sleep(WATCH_SECONDS)
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _handed(process: "subprocess.Popen[bytes]", line: str) -> bool:
    """Whether the process was there to be told, which is the last thing it hears; if not, it is gone for good."""
    if not _told(process, line):
        _end(process)
        return False
    assert process.stdin is not None
    process.stdin.close()
    return process.poll() is None


def _told(process: "subprocess.Popen[bytes]", line: str) -> bool:
    """Whether a whole line is in its pipe."""
    assert process.stdin is not None
    whole = f"{line}\n".encode()
    try:
        return process.stdin.write(whole) == len(whole)
    except OSError:
        return False


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
