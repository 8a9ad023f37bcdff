"""The loop: reads requests, has them answered, and shares the cores with the run that trains.

Chats are answered together, a token of each in turn. Longer work is done one piece after the other. While both are
there, chats have TALK_SECONDS, then the work has WORK_SECONDS, and so on.
"""

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, BinaryIO, TextIO, TypeVar

from pydantic import ValidationError

from studio.host.cancelled import Stopped
from studio.host.chats import Chats
from studio.host.handlers import ANSWERS
from studio.host.inbox import Inbox, Turns
from studio.inference.interruption import interrupted_by, pause
from studio.inference.model_cache import Shelf
from studio.inference.templates import remember_in
from studio.machine.cores import leave_a_core, use_all_cores, use_one_core
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

T = TypeVar("T")
LIGHT = (PreviewRow, Lengths, CountTokens)
"""What needs a tokenizer only."""
LINGER = 10.0
"""Seconds after an answer for which a core is kept: the next question often comes soon."""
LOOK = 2.0
"""Seconds between two looks whether a run is at work."""
TALK_SECONDS, WORK_SECONDS = 10.0, 1.0
"""For which chats are answered, and then longer work is done, while there is both."""
GRACE = 3.0
"""Seconds that running work has to notice that stdin has ended."""


class Host:
    """Reads, answers, and shares the cores with the run at work."""

    def __init__(self, home: Home, out: TextIO, idle_seconds: float) -> None:
        self.home, self.idle_seconds = home, idle_seconds
        self.inbox, self.chats, self.shelf = Inbox(), Chats(self), Shelf()
        self.stopped: set[str] = set()
        self._light, self._light_turns = ThreadPoolExecutor(max_workers=3, thread_name_prefix="tokenizing"), Turns()
        self._light_lock = threading.Lock()
        self._at_work: list[str] = []
        self._work_until, self._visitors = 0.0, False
        self._out, self._writing = out, threading.Lock()
        self._guest, self._last, self._shared = False, time.monotonic(), time.monotonic()
        remember_in(home.root)

    @property
    def busy(self) -> str | None:
        """The request that is answered now, or one of them."""
        return self._at_work[-1] if self._at_work else self.chats.first

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
            self._visitors = self._visitors or request.visitor
            if isinstance(request, LIGHT):
                with self._light_lock:
                    self._light_turns.put(request)
                self._light.submit(self._tokenize)
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
            talking = self._talk()
            work = self.inbox.next_work()
            if work is not None:
                self._work_until = time.monotonic() + WORK_SECONDS
                with interrupted_by(partial(self._pause, work, time.monotonic())):
                    self.work_on(work)
            elif not talking and not self.inbox.wait(LINGER if self._guest else min(60.0, self.idle_seconds)):
                self._be_idle()
        self._leave()
        self._light.shutdown(wait=False, cancel_futures=True)

    def work_on(self, request: AnyRequest) -> None:
        """Answer one request that needs a model, as a guest of the machine."""
        self._at_work.append(request.id)
        self._share_cores()
        self.answer(request)
        self._at_work.pop()
        self._last = time.monotonic()

    def answer(self, request: AnyRequest) -> None:
        """Answer a request without a pause."""
        self.finish(request, self.protected(request, lambda: ANSWERS[type(request)](self, request)))

    def protected(self, request: AnyRequest, act: Callable[[], T]) -> T | dict[str, Any] | None:
        """The edge of the process. An error becomes one plain line, and None is the result."""
        try:
            return act()
        except Stopped:
            self.stopped.add(request.id)
            return {}
        except StudioError as error:
            self.say(Failed(id=request.id, error=error_dict(error)))
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
            if _is_out_of_memory(error):
                self.shelf.forget()
            self.say(Failed(id=request.id, error=error_dict(_plain(error))))
        return None

    def finish(self, request: AnyRequest, result: Any) -> None:
        """Say the result of a request; None when it has failed, which was said."""
        if result is not None:
            self.say(Done(id=request.id, stopped=request.id in self.stopped, result=result))
        self.stopped.discard(request.id)

    def stop(self, name: str) -> None:
        """End a request, which may not have begun."""
        with self._light_lock:
            waited = self._light_turns.remove(name)
        if waited or self.inbox.remove(name):
            self.say(Done(id=name, stopped=True))
        else:
            self.stopped.add(name)

    def stop_of(self, request: AnyRequest) -> Callable[[], bool]:
        """Whether a request was cancelled. Asked at each token, it also looks now and then whether a run has begun."""

        def stopped() -> bool:
            if self._guest and time.monotonic() - self._shared > LOOK:
                self._share_cores()
            return self.inbox.closed or request.id in self.stopped

        return stopped

    def moved(self, request: AnyRequest, message: str = "") -> Callable[..., None]:
        """Progress of long work: said, then chats are answered, and a stop takes effect."""

        def progress(done: int, total: int, words: str = message) -> None:
            self.say(Moved(id=request.id, done=done, total=total, message=words))
            if self.stop_of(request)():
                raise Stopped
            pause()
            self._share_cores()

        return progress

    def _pause(self, work: AnyRequest, began: float) -> None:
        """Between two steps of longer work: end it when it was stopped or takes too long, then answer chats."""
        if self.stop_of(work)():
            raise Stopped
        now = time.monotonic()
        if work.seconds and now - began > work.seconds:
            raise StudioError(
                "limit-reached",
                f"This took longer than the {work.seconds / 60:g} minutes that this demo allows.",
                hint="Try it with fewer rows.",
            )
        if now < self._work_until or not (self.chats or self.inbox.someone_waits):
            return
        import torch

        with interrupted_by(lambda: None), torch.random.fork_rng(devices=[]):  # the work's random numbers stay its own
            self._talk()
        self._work_until = time.monotonic() + WORK_SECONDS

    def _talk(self) -> bool:
        """Answer chats and short requests, for TALK_SECONDS at most. Whether any are left."""
        end = time.monotonic() + TALK_SECONDS
        while self.chats or self.inbox.someone_waits:
            if self.inbox.closed or time.monotonic() > end:
                return True
            if (request := self.inbox.next_talk()) is not None:
                self.work_on(request)
            if (request := self.inbox.next_chat(self.chats.may_begin)) is not None:
                self._share_cores()
                self.chats.begin(request)
            self.chats.advance()
            self._last = time.monotonic()
        return False

    def _tokenize(self) -> None:
        """Answer the next request that needs a tokenizer only."""
        with self._light_lock:
            request = self._light_turns.take()
        if request is not None:
            self.answer(request)

    def _be_idle(self) -> None:
        """There is nothing to do for a while: give the core back, then the memory."""
        if self._guest:
            self._leave()
        elif time.monotonic() - self._last > self.idle_seconds:
            self.shelf.forget()

    def _share_cores(self) -> None:
        """One core beside a run that trains, which gives one up for a guest; in a demo all but one; else all."""
        self._shared = time.monotonic()
        if not self._guest:
            self.home.queue.guest_comes(os.getpid())
            self._guest = True
        if self.home.queue.run_at_work():
            use_one_core()
        elif self._visitors:
            leave_a_core()
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
