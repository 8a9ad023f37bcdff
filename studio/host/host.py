"""The loop: reads requests, has them answered, and shares the cores with the run at work."""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, TextIO

from pydantic import ValidationError

from studio.host.answers import ANSWERS
from studio.host.inbox import Inbox
from studio.host.stopped import Stopped
from studio.inference.shelf import Shelf
from studio.machine.cores import use_all_cores, use_one_core
from studio.schema.errors import StudioError
from studio.schema.host import (
    REQUEST,
    AnyRequest,
    AnySaid,
    CountTokens,
    Done,
    Failed,
    Lengths,
    Moved,
    Ping,
    PreviewRow,
    Stop,
    error_dict,
)
from studio.store import Home

LIGHT = (PreviewRow, Lengths, CountTokens)
"""What needs a tokenizer only."""
LINGER = 10.0
"""Seconds after an answer for which a core is kept: the next question often comes soon."""
LOOK = 2.0
"""Seconds between two looks whether a run is at work."""
GRACE = 3.0
"""Seconds that running work has to notice that stdin has ended."""


class Host:
    """Reads, answers, and shares the cores with the run at work."""

    def __init__(self, home: Home, out: TextIO, idle_seconds: float) -> None:
        self.home, self.idle_seconds = home, idle_seconds
        self.inbox, self.shelf = Inbox(), Shelf()
        self.light = ThreadPoolExecutor(max_workers=3, thread_name_prefix="tokenizing")
        self.stopped: set[str] = set()
        self.busy: str | None = None
        self._out, self._writing = out, threading.Lock()
        self._guest, self._last, self._shared = False, time.monotonic(), time.monotonic()

    def say(self, said: AnySaid) -> None:
        """One line on stdout."""
        with self._writing:
            self._out.write(said.model_dump_json() + "\n")
            self._out.flush()

    def read(self, lines: BinaryIO) -> None:
        """Until stdin ends: hand each request to where it is answered."""
        for line in lines:
            try:
                request = REQUEST.validate_json(line)
            except ValidationError as error:
                print(error, file=sys.stderr, flush=True)
                self.say(Failed(id=None, error=error_dict(_misunderstood(error))))
                continue
            if isinstance(request, LIGHT):
                self.light.submit(self.answer, request)
            elif isinstance(request, (Stop, Ping)):
                self.answer(request)
            else:
                self.inbox.put(request)
        self.inbox.close()
        end = threading.Timer(GRACE, os._exit, (0,))
        end.daemon = True
        end.start()

    def run(self) -> None:
        """The main thread: answer until stdin has ended."""
        while not self.inbox.closed:
            request = self.inbox.next(LINGER if self._guest else min(60.0, self.idle_seconds))
            if request is not None:
                self.work_on(request)
            elif self._guest:
                self._leave()
            elif time.monotonic() - self._last > self.idle_seconds:
                self.shelf.forget()
        self._leave()
        self.light.shutdown(wait=False, cancel_futures=True)

    def work_on(self, request: AnyRequest) -> None:
        """Answer one request that needs a model, as a guest of the machine."""
        before, self.busy = self.busy, request.id
        self._share_cores()
        self.answer(request)
        self.busy, self._last = before, time.monotonic()

    def answer(self, request: AnyRequest) -> None:
        """The edge of the process: whatever happens becomes one plain line."""
        try:
            stopped_before = request.id in self.stopped
            result = {} if stopped_before else ANSWERS[type(request)](self, request)
            self.say(Done(id=request.id, stopped=request.id in self.stopped, result=result))
        except Stopped:
            self.say(Done(id=request.id, stopped=True))
        except StudioError as error:
            self.say(Failed(id=request.id, error=error_dict(error)))
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
            if _is_out_of_memory(error):
                self.shelf.forget()
            self.say(Failed(id=request.id, error=error_dict(_plain(error))))
        self.stopped.discard(request.id)

    def stop_of(self, request: AnyRequest) -> Callable[[], bool]:
        """Whether a request was cancelled. Asked at each token, it also looks now and then whether a run has begun."""

        def stopped() -> bool:
            if self._guest and time.monotonic() - self._shared > LOOK:
                self._share_cores()
            return self.inbox.closed or request.id in self.stopped

        return stopped

    def moved(self, request: AnyRequest, message: str = "") -> Callable[..., None]:
        """Progress of long work: said, then waiting chats are answered, and a stop takes effect."""

        def progress(done: int, total: int, words: str = message) -> None:
            self.say(Moved(id=request.id, done=done, total=total, message=words))
            if self.stop_of(request)():
                raise Stopped
            while (talk := self.inbox.next_talk()) is not None:
                self.work_on(talk)
            self._share_cores()

        return progress

    def _share_cores(self) -> None:
        """One core beside a run at work, which gives one up for a guest; all cores else."""
        self._shared = time.monotonic()
        if not self._guest:
            self.home.queue.guest_comes(os.getpid())
            self._guest = True
        if self.home.queue.run_at_work():
            use_one_core()
        else:
            use_all_cores()

    def _leave(self) -> None:
        if self._guest:
            self.home.queue.guest_goes(os.getpid())
            self._guest = False


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error).lower()


def _plain(error: Exception) -> StudioError:
    """An error that nobody foresaw, in plain words."""
    if _is_out_of_memory(error):
        return StudioError(
            "out-of-memory",
            "There is not enough memory for this model beside what is running.",
            hint="Close other programs, wait until the run at work has ended, or choose a smaller model.",
        )
    return StudioError(
        "unexpected", "The models could not answer.", given=type(error).__name__, hint="The details are in host.log."
    )


def _misunderstood(error: ValidationError) -> StudioError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "request"
    return StudioError("bad-setting", "The model host was asked something it does not know.", given=place)
