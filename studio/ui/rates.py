"""Token buckets: so many requests a second per key, after a burst. Bounded, however many keys there are."""

import time
from collections import OrderedDict
from collections.abc import Callable


class Buckets:
    """A bucket of tokens per key. A key that has not been seen for a while has a full bucket again."""

    def __init__(
        self, rate: float, burst: float, most: int = 10_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.burst, self.most, self._clock = rate, burst, most, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one token. 0 when there was one, else the seconds until the next one."""
        now = self._clock()
        tokens, at = self._buckets.pop(key, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.rate)
        wait = 0.0 if tokens >= 1 else (1 - tokens) / self.rate
        self._buckets[key] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > self.most:
            self._buckets.popitem(last=False)
        return wait

    @property
    def known(self) -> int:
        """Keys that are remembered."""
        return len(self._buckets)
