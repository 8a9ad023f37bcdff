"""Limits of how often something may be done, per key. They remember no more keys than allowed."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable


class Buckets:
    """Token buckets: so many a second per key, after a burst. A key that was not seen for a while has a full bucket."""

    def __init__(
        self, rate: float, burst: float, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.burst, self.most, self._clock = rate, burst, most, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, cost: float = 1) -> float:
        """Take a token, or `cost` of them. 0 when there were enough, else the seconds until there are."""
        now = self._clock()
        tokens, at = self._buckets.pop(key, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.rate)
        wait = 0.0 if tokens >= cost else (cost - tokens) / self.rate
        self._buckets[key] = (tokens if wait else tokens - cost, now)
        if len(self._buckets) > self.most:
            self._buckets.popitem(last=False)
        return wait

    @property
    def known(self) -> int:
        """Keys that are remembered."""
        return len(self._buckets)


class Rate:
    """How often something was done within a period, by key. Remembers no more keys than `most_keys`."""

    def __init__(self, seconds: float, most_keys: int = 10_000) -> None:
        self._seconds, self._most_keys = seconds, most_keys
        self._times: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def allow(self, key: str, most: int) -> bool:
        """Count one more for a key, unless there were `most` of them within the period (0: no limit)."""
        now = time.monotonic()
        with self._lock:
            times = self._times.setdefault(key, deque())
            while times and now - times[0] > self._seconds:
                times.popleft()
            if most and len(times) >= most:
                return False
            times.append(now)
            self._times.move_to_end(key)
            while len(self._times) > self._most_keys:
                self._times.popitem(last=False)
            return True
