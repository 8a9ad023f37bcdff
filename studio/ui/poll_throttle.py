"""Owns: how often pages ask what is new, and that a crowd of them costs little more than a few.

Pages ask once a second, less often the more of them there are; and what many ask in one moment is made once.
"""

import threading
import time
from collections.abc import Callable, Hashable

SEEN_SECONDS = 10.0
"""A page that has not asked for so long is not there any more."""
A_SECOND = 50
"""Questions that are answered a second: about a tenth of a core."""
LONGEST = 4.0
"""Seconds: no page is further behind than this and its answer."""
MOST = 10_000
"""Names that are remembered at most."""
CROWD = 10
"""Pages; more than so many share their answers."""
SHARED_SECONDS = 0.5
"""For so long after it was begun an answer is given to others that ask the same."""


class Watchers:
    """The pages that ask."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, page: str) -> float:
        """Seconds until the page is to ask again."""
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
        """Whether so many pages ask that answers are to be shared."""
        return len(self._seen) > CROWD


class _Answer:
    """An answer that is being made, or was made a moment ago."""

    def __init__(self, begun: float) -> None:
        self.begun, self.lock = begun, threading.Lock()
        self.body: bytes | None = None


class Answers:
    """Answers of the last moment, for all who ask the same."""

    def __init__(self) -> None:
        self._made: dict[Hashable, _Answer] = {}
        self._lock = threading.Lock()

    def get(self, asked: Hashable, make: Callable[[], bytes]) -> bytes:
        """What `make` returns, now or a moment ago; who asks while another's is being made waits for that one."""
        with self._lock:
            now = time.monotonic()
            while self._made and now - next(iter(self._made.values())).begun > SHARED_SECONDS:
                del self._made[next(iter(self._made))]
            answer = self._made.setdefault(asked, _Answer(now))
        with answer.lock:
            if answer.body is None:
                answer.body = make()
            return answer.body
