"""Throttling of polls, so that many pages cost little more than a few.

Pages poll once a second, and less often when there are many. Equal requests at the same time are computed once.
"""

import threading
import time
from collections.abc import Callable, Hashable

SEEN_SECONDS = 10.0
"""Seconds after which a page that has not polled is forgotten."""
A_SECOND = 50
"""Maximum requests a second: about a tenth of a core."""
LONGEST = 4.0
"""Maximum seconds between two polls of a page."""
MOST = 10_000
"""Maximum number of pages that are remembered."""
CROWD = 10
"""Number of pages above which responses are shared."""
SHARED_SECONDS = 0.5
"""Seconds for which a response is shared, from its beginning."""


class Watchers:
    """The pages that poll."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, page: str) -> float:
        """Seconds until the next poll of a page."""
        now = time.monotonic()
        with self._lock:
            self._seen.pop(page, None)
            self._seen[page] = now
            while (oldest := next(iter(self._seen))) and (
                now - self._seen[oldest] > SEEN_SECONDS or len(self._seen) > MOST
            ):
                del self._seen[oldest]
            return min(LONGEST, max(1.0, len(self._seen) / A_SECOND))

    def crowded(self) -> bool:
        """Whether there are so many pages that responses are shared."""
        return len(self._seen) > CROWD


class _CachedResponse:
    """A response that is being computed, or was computed just now."""

    def __init__(self, begun: float) -> None:
        self.begun, self.lock = begun, threading.Lock()
        self.body: bytes | None = None


class ResponseCache:
    """The latest responses, shared by equal requests."""

    def __init__(self) -> None:
        self._made: dict[Hashable, _CachedResponse] = {}
        self._lock = threading.Lock()

    def get(self, question: Hashable, make: Callable[[], bytes]) -> bytes:
        """The result of `make`, possibly of a moment ago. Waits for one that is being computed."""
        with self._lock:
            now = time.monotonic()
            while self._made and now - next(iter(self._made.values())).begun > SHARED_SECONDS:
                del self._made[next(iter(self._made))]
            answer = self._made.setdefault(question, _CachedResponse(now))
        with answer.lock:
            if answer.body is None:
                answer.body = make()
            return answer.body
