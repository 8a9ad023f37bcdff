"""Owns: how often pages ask what is new: once a second, and less often the more of them there are."""

import threading
import time

SEEN_SECONDS = 10.0
"""A page that has not asked for so long is not there any more."""
A_SECOND = 50
"""Questions that are answered a second: about a tenth of a core."""
LONGEST = 4.0
"""Seconds: no page is further behind than this and its answer."""
MOST = 10_000
"""Names that are remembered at most."""


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
