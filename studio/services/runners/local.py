"""This machine: a worker process of its own session that outlives the server, started fresh or taken prepared."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

Told = Callable[[str], None]


class LocalRunner:
    """Starts workers. Holds at most one prepared process: all imports done, waiting for a run."""

    title = "This machine"

    def __init__(self, home: Path) -> None:
        self.home = home
        self._prepared: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._told: dict[str, Told] = {}

    def prepare(self) -> None:
        """Have a process import everything now, since a person is about to press Start."""
        with self._lock:
            if self._prepared is not None and self._prepared.poll() is not None:
                _forget(self._prepared)
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

    def tell(self, workspace: str, told: Told) -> None:
        """Have it called with each run of a workspace whose worker has ended, as long as this process lives."""
        self._told[workspace] = told

    def start(self, workspace: str, run: str, log: Path) -> None:
        """Have a worker take the run; it waits for its turn by itself."""
        with self._lock:
            prepared, self._prepared = self._prepared, None
        if prepared is not None and _handed(prepared, f"{self.home}\t{workspace}\t{run}\n"):
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
            prepared, self._prepared = self._prepared, None
        if prepared is not None:
            prepared.kill()
            prepared.wait()
            _forget(prepared)


def _handed(process: "subprocess.Popen[bytes]", line: str) -> bool:
    """Whether the process was there to be told; if not, it is gone for good."""
    assert process.stdin is not None
    try:
        with process.stdin as door:
            door.write(line.encode())
    except OSError:
        process.kill()
        process.wait()
        return False
    return process.poll() is None


def _forget(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        process.stdin.close()
