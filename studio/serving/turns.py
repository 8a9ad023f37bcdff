"""Turns of requests: so many at an engine at once, and so many that may wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from studio.serving.errors import ApiError


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
