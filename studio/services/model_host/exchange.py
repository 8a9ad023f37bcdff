"""One request to the model host and its responses, read in a thread or in an event loop."""

import asyncio
import queue
from collections.abc import Callable, Iterator
from contextlib import suppress

from studio.schema.errors import StudioError
from studio.schema.host_responses import Chunk, Done, Failed, Moved

HostResponse = Chunk | Moved | Done
HostMessage = HostResponse | Failed | None


class Exchange(Iterator[HostResponse]):
    """One request and the host's responses, `Done` last. Iterate it in a thread or in an event loop.

    `close`, from any thread, cancels the request; readers then get no more responses. So does garbage collection.
    """

    def __init__(
        self, stop: Callable[[], None], give_back: Callable[[], None], end: Callable[[], None] = lambda: None
    ) -> None:
        """`stop` cancels the request, and nothing more is read. `end` asks the host to end it with what it has."""
        self._messages: queue.SimpleQueue[HostMessage] = queue.SimpleQueue()
        self._stop, self._give_back, self._end = stop, give_back, end
        self._ended = self._closed = False
        self._notify: Callable[[], object] = lambda: None

    def put(self, message: HostMessage) -> None:
        """Add a message of the host. None: the host has ended."""
        self._ended = self._ended or not isinstance(message, Chunk | Moved)
        self._messages.put(message)
        if self._ended:
            self._give_back()
        self._notify()

    def end(self) -> None:
        """Ask the host to end the request. What it has so far is in `Done`."""
        if not self._ended:
            self._end()

    def close(self) -> None:
        """Cancel the request, unless it has ended."""
        if not self._closed:
            self._closed = True
            if not self._ended:
                self._stop()
            self._give_back()
            self._messages.put(None)
            self._notify()

    def read(self, seconds: float | None = None) -> HostResponse | None:
        """The next response, or None when there is none within so many seconds. Not after `Done` or `close`."""
        try:
            message = self._messages.get(timeout=seconds)
        except queue.Empty:
            return None
        return self._read(message)

    def __next__(self) -> HostResponse:
        if self._closed:
            raise StopIteration
        return self._read(self._messages.get())

    def __aiter__(self) -> "Exchange":
        return self

    async def __anext__(self) -> HostResponse:
        loop, arrived = asyncio.get_running_loop(), asyncio.Event()

        def notify() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(arrived.set)

        self._notify = notify
        while self._messages.empty() and not self._closed:
            await arrived.wait()
            arrived.clear()
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None

    def __del__(self) -> None:
        self.close()

    def _read(self, message: HostMessage) -> HostResponse:
        if self._closed:
            raise StopIteration
        if not isinstance(message, Chunk | Moved):
            self._closed = True
        if message is None:
            raise host_gone()
        if isinstance(message, Failed):
            raise StudioError.from_dict(message.error)
        return message


def host_gone() -> StudioError:
    return StudioError(
        "host-gone",
        "The model host has stopped, most likely because memory ran out.",
        hint="Try again. If it stops again, close other programs or choose a smaller model.",
    )
