"""One request to the model host and its answers, read in a thread or in an event loop."""

import asyncio
import queue
from collections.abc import Callable, Iterator
from contextlib import suppress

from studio.schema.errors import StudioError
from studio.schema.host import Chunk, Done, Failed, Moved

Answered = Chunk | Moved | Done
Said = Answered | Failed | None


class Exchange(Iterator[Answered]):
    """One request and what the host says to it, `Done` last. Iterate it in a thread or, without one, in an event loop.

    `close`, from any thread, ends the request; whoever waits for it then gets no more. So does forgetting it.
    """

    def __init__(self, stop: Callable[[], None], give_back: Callable[[], None]) -> None:
        self._said: queue.SimpleQueue[Said] = queue.SimpleQueue()
        self._stop, self._give_back = stop, give_back
        self._ended = self._closed = False
        self._news: Callable[[], object] = lambda: None

    def put(self, said: Said) -> None:
        """Hand over what the host said; None: it has ended."""
        self._ended = self._ended or not isinstance(said, Chunk | Moved)
        self._said.put(said)
        if self._ended:
            self._give_back()
        self._news()

    def close(self) -> None:
        """End the request, unless it has ended."""
        if not self._closed:
            self._closed = True
            if not self._ended:
                self._stop()
            self._give_back()
            self._said.put(None)
            self._news()

    def __next__(self) -> Answered:
        if self._closed:
            raise StopIteration
        return self._read(self._said.get())

    def __aiter__(self) -> "Exchange":
        return self

    async def __anext__(self) -> Answered:
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(news.set)

        self._news = tell
        while self._said.empty() and not self._closed:
            await news.wait()
            news.clear()
        try:
            return next(self)
        except StopIteration:
            raise StopAsyncIteration from None

    def __del__(self) -> None:
        self.close()

    def _read(self, said: Said) -> Answered:
        if self._closed:
            raise StopIteration
        if not isinstance(said, Chunk | Moved):
            self._closed = True
        if said is None:
            raise gone()
        if isinstance(said, Failed):
            raise StudioError.from_dict(said.error)
        return said


def gone() -> StudioError:
    return StudioError(
        "host-gone",
        "The process that answers has ended, most likely because it needed more memory than there is.",
        hint="Try again; if it ends once more, close other programs or choose a smaller model.",
    )
