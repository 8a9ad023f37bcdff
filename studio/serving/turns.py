"""Turns of requests: so many at an engine at once, so many that may wait, and so many a minute for each key."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from studio.serving.errors import ApiError

MOST_KEYS = 10_000


class Rate:
    """A token bucket for each key: a rate per second, after a burst."""

    def __init__(self, rate: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> None:
        """Count one request.

        Raises:
            ApiError: 429 with the seconds to wait, when there were too many.
        """
        now = self._clock()
        tokens, at = self._buckets.pop(key, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.rate)
        self._buckets[key] = (tokens - 1 if tokens >= 1 else tokens, now)
        while len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            wait = (1 - tokens) / self.rate
            raise ApiError(
                429,
                f"Rate limit reached: {self.rate * 60:g} requests per minute. Try again in {wait:.1f} seconds.",
                "rate_limit_exceeded",
                retry_after=wait,
            )


class Turns:
    """The turns at one engine. Requests wait in the order in which they came."""

    def __init__(self, at_once: int, most_waiting: int) -> None:
        self._places, self._most_waiting = asyncio.Semaphore(at_once), most_waiting
        self.running = self.waiting = 0

    def require_room(self) -> None:
        """Raise `ApiError` 429 when too many wait already."""
        if self._places.locked() and self.waiting >= self._most_waiting:
            raise ApiError(
                429,
                f"{self.waiting} requests to this model wait already. Try again later.",
                "queue_full",
                retry_after=5,
            )

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn, and hold it.

        Raises:
            ApiError: 429 when too many wait already.
        """
        self.require_room()
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            self._places.release()
