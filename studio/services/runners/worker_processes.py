"""Worker processes of this machine. They outlive the server; one may be prepared in advance."""

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from studio.machine.environment import child_environment
from studio.machine.processes import identity, lives, module_command
from studio.schema.runs import RunSpec
from studio.store.home import Home
from studio.store.next_worker import start_worker
from studio.store.queue import Entry

RunEndCallback = Callable[[str], None]
WATCH_SECONDS = 0.5
"""Seconds between two checks of a worker that another process has started."""


class WorkerProcesses:
    """Starts workers. Keeps at most one prepared process, with all imports done and possibly a run prepared."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._prepared: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._prepared_run: tuple[str, str] | None = None
        """The workspace and the id of the run that is prepared."""
        self._callbacks: dict[str, RunEndCallback] = {}
        self._watched: set[int] = set()
        """Process ids of workers whose end a thread waits for."""

    def prepare(self) -> None:
        """Start a process that imports everything, because a run will probably start soon."""
        with self._lock:
            self._prepare()

    def prepare_run(self, workspace: str, spec: RunSpec, run: str) -> None:
        """Also prepare a run that will probably start next. `run` is its id, unless a run has an id already."""
        with self._lock:
            prepared = self._prepare()
            if self._prepared_run is None or self._prepared_run[0] != workspace:
                self._prepared_run = workspace, run
            message = {
                "home": str(self.home),
                "workspace": workspace,
                "run": self._prepared_run[1],
                "spec": spec.model_dump(mode="json", exclude={"because"}, exclude_defaults=True),
            }
            if not _write_line(prepared, json.dumps(message)):
                _end(prepared)
                self._prepared = None

    def claim_prepared_run(self, workspace: str) -> str:
        """The id of the prepared run of a workspace, once. Empty when there is none."""
        with self._lock:
            if self._prepared_run is None or self._prepared_run[0] != workspace:
                return ""
            (_, run), self._prepared_run = self._prepared_run, None
            return run

    def on_run_end(self, workspace: str, callback: RunEndCallback) -> None:
        """Call a function with each run of a workspace whose worker has ended, while this process lives."""
        self._callbacks[workspace] = callback

    def start(self, workspace: str, run: str, log: Path) -> None:
        """Start a worker for a queued run. The worker waits for its turn."""
        with self._lock:
            prepared, self._prepared = self._prepared, None
        if prepared is None or not _hand_over(prepared, f"{self.home}\t{workspace}\t{run}"):
            prepared = start_worker(Home(self.home), workspace, run, log)
        self._watched.add(prepared.pid)
        self._watch(prepared.pid, prepared.wait, workspace, run)

    def watch(self, entries: Sequence[Entry]) -> None:
        """Wait in threads for the ends of workers that other processes have started, to report them.

        As the first process of a container, this process also becomes the parent of orphaned workers.
        """
        for entry in entries:
            pid = entry.pid
            if pid is None or pid in self._watched or not (entry.workspace in self._callbacks or os.getpid() == 1):
                continue
            self._watched.add(pid)
            self._watch(pid, partial(_wait_for, pid, identity(pid)), entry.workspace, entry.run)

    def _watch(self, pid: int, wait: Callable[[], object], workspace: str, run: str) -> None:
        """Wait in a thread for the end of a worker. A process stays a zombie until its exit status is read."""

        def wait_for_end() -> None:
            wait()
            self._watched.discard(pid)
            if callback := self._callbacks.get(workspace):
                callback(run)

        threading.Thread(target=wait_for_end, name=f"studio {run}", daemon=True).start()

    def forget(self, workspace: str) -> None:
        """Stop reporting the ends of runs of a removed workspace."""
        self._callbacks.pop(workspace, None)

    def close(self) -> None:
        """End the prepared process. Running workers are not touched."""
        with self._lock:
            prepared, self._prepared, self._prepared_run = self._prepared, None, None
        if prepared is not None:
            _end(prepared)

    def _prepare(self) -> "subprocess.Popen[bytes]":
        if self._prepared is not None and self._prepared.poll() is not None:
            _end(self._prepared)
            self._prepared = None
        if self._prepared is None:
            self._prepared = subprocess.Popen(
                module_command("studio.worker", "--prepared"),
                stdin=subprocess.PIPE,
                bufsize=0,  # a line is written at once or refused, and closing writes nothing
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=child_environment(visitors=False),
            )
            assert self._prepared.stdin is not None
            os.set_blocking(self._prepared.stdin.fileno(), False)  # never wait for a process that does not read
        return self._prepared


def _wait_for(pid: int, known_identity: str) -> None:
    """Wait for the end of a process that another one has started. Reads the exit status of an adopted child."""
    while lives(pid, known_identity):
        time.sleep(WATCH_SECONDS)
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _hand_over(process: "subprocess.Popen[bytes]", line: str) -> bool:
    """Send the process its run and close the pipe. False when it has ended; it is then cleaned up."""
    if not _write_line(process, line):
        _end(process)
        return False
    assert process.stdin is not None
    process.stdin.close()
    return process.poll() is None


def _write_line(process: "subprocess.Popen[bytes]", line: str) -> bool:
    """Write a line into the pipe of a process. Returns whether all of it was written."""
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
