"""The prepared process while it waits: it is told what a person may start next, and makes that ready.

It is told by lines on stdin: a guess as JSON, as often as settings change, and once the run to take. A guess is made
ready when settings have stood for a moment and nothing else is at work on this machine, and let go after some minutes
or when somebody else's run comes. Nothing else is promised to it: whoever starts a run asks for it by its own line.
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
from studio.worker.job import job_of
from studio.worker.make_ready import Ready
from studio.worker.restart import wait_anew

LOOK_SECONDS = 0.5
SETTLED_SECONDS = 1.0
"""For which nothing was changed: then it is worth a guess."""
KEEP_SECONDS = 5 * 60.0
"""For which a run is kept ready that nobody starts."""


@dataclass(frozen=True)
class Guess:
    """The run that a person may start next, under the id that it will have."""

    home: str
    workspace: str
    run: str
    spec: RunSpec


class Waiting:
    """A prepared process that nobody has given a run yet."""

    def __init__(self) -> None:
        self.ready: Ready | None = None
        self._guess: Guess | None = None
        self._place: Workspace
        self._told = 0.0
        self._read = b""

    def wait(self) -> str:
        """The line with the run to take; empty when whoever might give one is gone."""
        try:
            while True:
                line = self._next_line(LOOK_SECONDS if self._guess else None)
                if line is None:
                    self._look()
                elif line.startswith("{"):
                    self._hear(json.loads(line))
                elif line:
                    return line
                else:
                    self._drop()
                    return ""
        except BaseException:  # its home was removed, say: the thread must not wait for ever
            self._drop()
            raise

    def _next_line(self, seconds: float | None) -> str | None:
        """Read without Python's own buffer, so that nothing is lost of what comes when this process begins anew."""
        while b"\n" not in self._read:
            if not select.select([sys.stdin], [], [], seconds)[0]:
                return None
            more = os.read(sys.stdin.fileno(), 2**16)
            if not more:
                return ""
            self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    def _hear(self, told: dict[str, str]) -> None:
        guess = Guess(told["home"], told["workspace"], told["run"], RunSpec.model_validate(told["spec"]))
        self._told = time.monotonic()
        if guess != self._guess:
            self._drop()
            self._guess, self._place = guess, Home(guess.home).workspace(guess.workspace)

    def _look(self) -> None:
        """Make ready what was guessed when its time has come, and let go of it when that has passed."""
        assert self._guess is not None
        queue, age = self._place.home.queue, time.monotonic() - self._told
        others = any(entry.run != self._guess.run for entry in queue.listing())
        if self.ready and (others or age > KEEP_SECONDS) and not self._read:
            wait_anew()
        elif age > KEEP_SECONDS:
            self._guess = None
        elif self.ready and not self.ready.stands and queue.guests():
            self._drop()  # a model that answers a person comes first; afterwards it is begun again
        elif not self.ready and age > SETTLED_SECONDS and not others and not queue.guests():
            self._begin(self._guess)

    def _begin(self, guess: Guess) -> None:
        if free_for_training() < guess.spec.memory_bytes:
            return
        try:
            self.ready = Ready(job_of(self._place, guess.run, guess.spec)[0])
        except (StudioError, OSError):  # when it is started, it says so
            self._guess = None

    def _drop(self) -> None:
        if self.ready:
            self.ready.drop()
            self.ready = None
