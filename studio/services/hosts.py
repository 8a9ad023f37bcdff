"""The client of the model host: one child process that keeps models for chat, prediction and evaluation.

It may run out of memory without taking the page down: then every waiting request gets one plain sentence, and the
next request starts a new host.
"""

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from studio.schema.errors import StudioError
from studio.schema.host import REQUEST, SAID, Chunk, Done, Failed, Moved, error_from
from studio.store import Home

Said = Chunk | Moved | Done | Failed | None
IDLE_MINUTES = 10
GRACE = 1.0
"""Seconds in which a host may end by itself when the server does; one that just imports its libraries takes longer."""


class HostClient:
    """Starts the host when it is first needed, sends requests, and hands each its own answers."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._process: subprocess.Popen[bytes] | None = None
        self._waiting: dict[str, tuple[subprocess.Popen[bytes], queue.SimpleQueue[Said]]] = {}
        self._lock = threading.Lock()
        self._number = 0

    def ask(self, op: str, **fields: Any) -> Iterator[Chunk | Moved | Done]:
        """Send a request and yield what the host says to it, `Done` last.

        When the caller stops listening before the end, the host is told to stop.
        """
        process = self._running()
        with self._lock:
            self._number += 1
            name = f"{op}-{self._number}"
            answers: queue.SimpleQueue[Said] = queue.SimpleQueue()
            self._waiting[name] = (process, answers)
        ended = False
        try:
            self._send(process, name, op, fields)
            while not ended:
                said = answers.get()
                ended = not isinstance(said, Chunk | Moved)
                if said is None:
                    raise _gone()
                if isinstance(said, Failed):
                    raise error_from(said.error)
                yield said
        finally:
            self._waiting.pop(name, None)
            if not ended:
                with suppress(StudioError):
                    self._send(process, f"stop-{name}", "stop", {"target": name})

    def result(self, op: str, progress: Callable[[int, int, str], None] | None = None, **fields: Any) -> dict[str, Any]:
        """Send a request and wait for its result; `progress` gets (done, total, message)."""
        for said in self.ask(op, **fields):
            if isinstance(said, Moved) and progress:
                progress(said.done, said.total, said.message)
            if isinstance(said, Done):
                return said.result
        raise _gone()

    def forget(self, folder: str) -> None:
        """Have the host let go of a run's models, when there is a host."""
        with self._lock:
            process = self._process
        if process is not None and process.poll() is None:
            self.result("unload", folder=folder)

    def close(self) -> None:
        """End the host."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None:
            with suppress(OSError):
                assert process.stdin is not None
                process.stdin.close()
            try:
                process.wait(timeout=GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _running(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                logs = self.home.root / "logs"
                logs.mkdir(exist_ok=True)
                with (logs / "host.log").open("ab") as log:
                    self._process = subprocess.Popen(
                        [
                            sys.executable,
                            "-m",
                            "studio.host",
                            "--home",
                            str(self.home.root),
                            "--idle",
                            str(IDLE_MINUTES),
                        ],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=log,
                    )
                threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
            return self._process

    def _send(self, process: "subprocess.Popen[bytes]", name: str, op: str, fields: dict[str, Any]) -> None:
        request = REQUEST.validate_python({"id": name, "op": op, **fields})
        try:
            with self._lock:
                assert process.stdin is not None
                process.stdin.write(request.model_dump_json().encode() + b"\n")
                process.stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: its stdin was closed when it was found to be gone
            raise _gone() from error

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said = SAID.validate_json(line)
            waiting = self._waiting.get(getattr(said, "id", ""))
            if waiting is not None and isinstance(said, Chunk | Moved | Done | Failed):
                waiting[1].put(said)
        process.wait()
        process.stdout.close()
        with suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        for asked, answers in list(self._waiting.values()):
            if asked is process:
                answers.put(None)


def _gone() -> StudioError:
    return StudioError(
        "host-gone",
        "The process that answers has ended, most likely because it needed more memory than there is.",
        hint="Try again; if it ends once more, close other programs or choose a smaller model.",
    )
