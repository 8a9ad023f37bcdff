"""The main loop: reads requests, has them answered, and shares the CPU cores with a run that trains.

Chats are answered together, one token of each in turn. Longer work runs one request after the other. While both exist,
chats run for `CHAT_SECONDS`, then the work runs for `WORK_SECONDS`, and so on.
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
from studio.host.inbox import FairQueue, Inbox
from studio.inference.interruption import interrupted_by, pause
from studio.inference.model_cache import ModelCache
from studio.inference.templates import remember_in
from studio.machine.cores import leave_a_core, use_all_cores, use_one_core
from studio.machine.process_limits import is_out_of_memory
from studio.schema.errors import StudioError
from studio.schema.host import REQUEST, AnyRequest, CountTokens, Lengths, Ping, PreviewRow, Stop
from studio.schema.host_responses import AnyResponse, Done, Failed, Moved
from studio.store import Home

T = TypeVar("T")
TOKENIZER_ONLY = (PreviewRow, Lengths, CountTokens)
"""Requests that need only a tokenizer."""
LINGER = 10.0
"""Seconds to keep a core after an answer, since the next request often follows soon."""
CHECK_SECONDS = 2.0
"""Seconds between two checks whether a run trains."""
CHAT_SECONDS, WORK_SECONDS = 10.0, 1.0
"""Seconds given to chats, then to longer work, while both exist."""
GRACE = 3.0
"""Seconds that a running request has to end after stdin has ended."""


class Host:
    """Reads requests, answers them, and shares the cores with a run that trains."""

    def __init__(self, home: Home, out: TextIO, idle_seconds: float) -> None:
        self.home, self.idle_seconds = home, idle_seconds
        self.inbox, self.chats, self.model_cache = Inbox(), Chats(self), ModelCache()
        self.stopped: set[str] = set()
        self._tokenizers, self._tokenizer_queue = (
            ThreadPoolExecutor(max_workers=3, thread_name_prefix="tokenizing"),
            FairQueue(),
        )
        self._tokenizer_lock = threading.Lock()
        self._running: list[str] = []
        self._work_until, self._visitors = 0.0, False
        self._out, self._writing = out, threading.Lock()
        self._uses_core, self._last, self._shared = False, time.monotonic(), time.monotonic()
        remember_in(home.root)

    @property
    def busy(self) -> str | None:
        """The id of the request that is running now, or of one of the open chats."""
        return self._running[-1] if self._running else self.chats.first

    def send(self, message: AnyResponse) -> None:
        """Write one message to stdout."""
        with self._writing:
            self._out.write(message.model_dump_json() + "\n")
            self._out.flush()

    def read(self, lines: BinaryIO) -> None:
        """Read requests until stdin ends, and pass each to the thread that answers it."""
        for line in lines:
            try:
                request = REQUEST.validate_json(line)
            except ValidationError as error:
                print(error, file=sys.stderr, flush=True)
                self.send(Failed(id=None, error=_invalid_request(error).to_dict()))
                continue
            self._visitors = self._visitors or request.visitor
            if isinstance(request, TOKENIZER_ONLY):
                with self._tokenizer_lock:
                    self._tokenizer_queue.put(request)
                self._tokenizers.submit(self._tokenize)
            elif isinstance(request, (Stop, Ping)):
                self.answer(request)
            else:
                self.inbox.put(request)
        self.inbox.close()
        end = threading.Timer(GRACE, os._exit, (0,))
        end.daemon = True
        end.start()

    def run(self) -> None:
        """The main thread: answer requests until stdin has ended."""
        while not self.inbox.closed:
            has_more = self._answer_interactive()
            work = self.inbox.next_work()
            if work is not None:
                self._work_until = time.monotonic() + WORK_SECONDS
                with interrupted_by(partial(self._pause, work, time.monotonic())):
                    self.run_request(work)
            elif not has_more and not self.inbox.wait(LINGER if self._uses_core else min(60.0, self.idle_seconds)):
                self._be_idle()
        self._leave_cores()
        self._tokenizers.shutdown(wait=False, cancel_futures=True)

    def run_request(self, request: AnyRequest) -> None:
        """Answer one request that needs a model, after sharing the cores."""
        self._running.append(request.id)
        self._share_cores()
        self.answer(request)
        self._running.pop()
        self._last = time.monotonic()

    def answer(self, request: AnyRequest) -> None:
        """Answer a request without interruption."""
        self.finish(request, self.run_guarded(request, lambda: ANSWERS[type(request)](self, request)))

    def run_guarded(self, request: AnyRequest, act: Callable[[], T]) -> T | dict[str, Any] | None:
        """Call `act` and return its result. This is the boundary of the process: an error becomes one `Failed`
        message and the result is None."""
        try:
            return act()
        except Stopped:
            self.stopped.add(request.id)
            return {}
        except StudioError as error:
            self.send(Failed(id=request.id, error=error.to_dict()))
        except Exception as error:
            traceback.print_exc(file=sys.stderr)
            sys.stderr.flush()
            if is_out_of_memory(error):
                self.model_cache.forget()
            self.send(Failed(id=request.id, error=_to_studio_error(error).to_dict()))
        return None

    def finish(self, request: AnyRequest, result: Any) -> None:
        """Send the result of a request. None means that the request has failed and the failure was sent."""
        if result is not None:
            self.send(Done(id=request.id, stopped=request.id in self.stopped, result=result))
        self.stopped.discard(request.id)

    def stop(self, name: str) -> None:
        """Cancel a request. It may not have started yet."""
        with self._tokenizer_lock:
            waited = self._tokenizer_queue.remove(name)
        if waited or self.inbox.remove(name):
            self.send(Done(id=name, stopped=True))
        else:
            self.stopped.add(name)

    def stop_of(self, request: AnyRequest) -> Callable[[], bool]:
        """A function that tells whether a request was cancelled. It is called at each token, so it also checks now
        and then whether a run has started."""

        def stopped() -> bool:
            if self._uses_core and time.monotonic() - self._shared > CHECK_SECONDS:
                self._share_cores()
            return self.inbox.closed or request.id in self.stopped

        return stopped

    def progress_reporter(self, request: AnyRequest, message: str = "") -> Callable[..., None]:
        """A function for longer work to report its progress. It sends the progress, answers chats, and raises
        `Stopped` after a cancellation."""

        def progress(done: int, total: int, text: str = message) -> None:
            self.send(Moved(id=request.id, done=done, total=total, message=text))
            if self.stop_of(request)():
                raise Stopped
            pause()
            self._share_cores()

        return progress

    def _pause(self, work: AnyRequest, began: float) -> None:
        """Called between two steps of longer work: end it when it was cancelled or takes too long, then answer
        chats."""
        if self.stop_of(work)():
            raise Stopped
        now = time.monotonic()
        if work.seconds and now - began > work.seconds:
            raise StudioError(
                "limit-reached",
                f"This took longer than the limit of {work.seconds / 60:g} minutes in this demo.",
                hint="Try again with fewer rows.",
            )
        if now < self._work_until or not (self.chats or self.inbox.has_interactive):
            return
        import torch

        # Chats must not change the random state of the work.
        with interrupted_by(lambda: None), torch.random.fork_rng(devices=[]):
            self._answer_interactive()
        self._work_until = time.monotonic() + WORK_SECONDS

    def _answer_interactive(self) -> bool:
        """Answer chats and short requests for at most `CHAT_SECONDS`. Returns whether some are left."""
        end = time.monotonic() + CHAT_SECONDS
        while self.chats or self.inbox.has_interactive:
            if self.inbox.closed or time.monotonic() > end:
                return True
            if (request := self.inbox.next_short()) is not None:
                self.run_request(request)
            if (request := self.inbox.next_chat(self.chats.may_begin)) is not None:
                self._share_cores()
                self.chats.begin(request)
            self.chats.advance()
            self._last = time.monotonic()
        return False

    def _tokenize(self) -> None:
        """Answer the next request that needs only a tokenizer."""
        with self._tokenizer_lock:
            request = self._tokenizer_queue.take()
        if request is not None:
            self.answer(request)

    def _be_idle(self) -> None:
        """Nothing to do for a while: give the core back, then unload the models."""
        if self._uses_core:
            self._leave_cores()
        elif time.monotonic() - self._last > self.idle_seconds:
            self.model_cache.forget()

    def _share_cores(self) -> None:
        """Use one core while a run trains, all but one for visitors of a demo, otherwise all."""
        self._shared = time.monotonic()
        if not self._uses_core:
            self.home.queue.host_started(os.getpid())
            self._uses_core = True
        if self.home.queue.has_running_run():
            use_one_core()
        elif self._visitors:
            leave_a_core()
        else:
            use_all_cores()

    def _leave_cores(self) -> None:
        if self._uses_core:
            self.home.queue.host_idle(os.getpid())
            self._uses_core = False


def _to_studio_error(error: Exception) -> StudioError:
    """An unexpected error as a `StudioError`."""
    if is_out_of_memory(error):
        return StudioError(
            "out-of-memory",
            "There is not enough free memory for this model.",
            hint="Close other programs, wait until the current run ends, or choose a smaller model.",
        )
    return StudioError(
        "unexpected",
        "The models failed to answer.",
        given=type(error).__name__,
        hint="The log host.log has the details.",
    )


def _invalid_request(error: ValidationError) -> StudioError:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "request"
    return StudioError("bad-setting", "The request to the model host is not valid.", given=place)
