"""The prepared worker while it waits: it receives the run that the user may start next, and prepares it.

It reads lines from stdin: an expected run as JSON each time the settings change, and finally the run to train. It
prepares the expected run when the settings have not changed for a moment and nothing else trains on this machine. It
drops the run after some minutes, or when another run is queued. The server starts a run only by its own line.
"""

import json
import os
import select
import sys
import time
from dataclasses import dataclass

from studio.machine.facts import free_for_training
from studio.schema.errors import StudioError
from studio.schema.runs import RunSpec
from studio.store import Home, Workspace
from studio.worker.job import training_job
from studio.worker.make_ready import PreparedRun
from studio.worker.restart import restart_prepared

LOOK_SECONDS = 0.5
SETTLED_SECONDS = 1.0
"""Seconds without a change of settings before the run is prepared."""
KEEP_SECONDS = 5 * 60.0
"""Seconds for which a prepared run that is not started is kept."""


@dataclass(frozen=True)
class ExpectedRun:
    """The run that the user may start next, with its reserved id."""

    home: str
    workspace: str
    run: str
    spec: RunSpec


class PreparedWorker:
    """A prepared process that has no run yet."""

    def __init__(self) -> None:
        self.ready: PreparedRun | None = None
        self._expected: ExpectedRun | None = None
        self._place: Workspace
        self._changed = 0.0
        self._read = b""

    def wait(self) -> str:
        """Wait for the line with the run to train. Empty when stdin has ended."""
        try:
            while True:
                line = self._next_line(LOOK_SECONDS if self._expected else None)
                if line is None:
                    self._update()
                elif line.startswith("{"):
                    self._receive(json.loads(line))
                elif line:
                    return line
                else:
                    self.drop()
                    return ""
        except BaseException:  # For example, the home was removed: the thread must not wait forever.
            self.drop()
            raise

    def _next_line(self, seconds: float | None) -> str | None:
        """Read a line without Python's buffer, so that no input is lost when this process restarts. None after a
        timeout."""
        while b"\n" not in self._read:
            if not select.select([sys.stdin], [], [], seconds)[0]:
                return None
            more = os.read(sys.stdin.fileno(), 2**16)
            if not more:
                return ""
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def _receive(self, message: dict[str, str]) -> None:
        expected = ExpectedRun(
            message["home"], message["workspace"], message["run"], RunSpec.model_validate(message["spec"])
        )
        self._changed = time.monotonic()
        if expected != self._expected:
            self.drop()
            self._expected, self._place = expected, Home(expected.home).workspace(expected.workspace)

    def _update(self) -> None:
        """Prepare the expected run when it is time, and drop it when it is too old."""
        assert self._expected is not None
        queue, age = self._place.home.queue, time.monotonic() - self._changed
        others = any(entry.run != self._expected.run for entry in queue.listing())
        if self.ready and (others or age > KEEP_SECONDS) and not self._read:
            restart_prepared()
        elif age > KEEP_SECONDS:
            self._expected = None
        elif self.ready and not self.ready.is_ready and queue.active_hosts():
            self.drop()  # a model host that answers the user has priority; the run is prepared again afterwards
        elif not self.ready and age > SETTLED_SECONDS and not others and not queue.active_hosts():
            self._prepare(self._expected)

    def _prepare(self, expected: ExpectedRun) -> None:
        if free_for_training() < expected.spec.memory_bytes:
            return
        try:
            self.ready = PreparedRun(training_job(self._place, expected.run, expected.spec)[0])
        except (StudioError, OSError):  # the run reports this error when it is started
            self._expected = None

    def drop(self) -> None:
        """Drop the prepared run, if there is one. Its thread would keep this process from ending."""
        if self.ready:
            self.ready.drop()
            self.ready = None
