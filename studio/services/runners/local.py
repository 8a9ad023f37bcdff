"""This machine: a worker process of its own session that outlives the server, started fresh or taken prepared."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from studio.schema.runs import RunSpec

Told = Callable[[str], None]


class LocalRunner:
    """Starts workers. Holds at most one prepared process: all imports done, waiting for a run or making one ready."""

    title = "This machine"

    def __init__(self, home: Path) -> None:
        self.home = home
        self._prepared: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._aside: tuple[str, str] | None = None
        """The workspace and the id of the run that is made ready."""
        self._told: dict[str, Told] = {}

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
            told = {"home": str(self.home), "workspace": workspace, "run": self._aside[1],
                    "spec": spec.model_dump(mode="json", exclude={"because"}, exclude_defaults=True)}  # fmt: skip
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
        """Have a worker take the run; it waits for its turn by itself."""
        with self._lock:
            prepared, self._prepared = self._prepared, None
        if prepared is not None and _handed(prepared, f"{self.home}\t{workspace}\t{run}"):
            self._attend(prepared, workspace, run)
            return
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "studio.worker", "--home", str(self.home), "--workspace", workspace, run],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self._attend(process, workspace, run)

    def _attend(self, process: "subprocess.Popen[bytes]", workspace: str, run: str) -> None:
        """Somebody must read its exit status, or it stays a zombie as long as the server lives."""

        def wait() -> None:
            process.wait()
            if told := self._told.get(workspace):
                told(run)

        threading.Thread(target=wait, name=f"studio {run}", daemon=True).start()

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
