"""A cache of Hub responses for some minutes, so that redrawing a page sends no new requests."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from studio.schema.errors import StudioError

T = TypeVar("T")
TTL_SECONDS, ERROR_TTL_SECONDS = 300.0, 15.0
"""How long a response is cached, and how long an error is."""
MAX_ENTRIES = 200


class ResponseCache:
    """Responses by request. Errors are cached for a shorter time."""

    def __init__(self, seconds: float = TTL_SECONDS, error_seconds: float = ERROR_TTL_SECONDS) -> None:
        self.seconds, self.error_seconds = seconds, error_seconds
        self._entries: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, fetch: Callable[[], T]) -> T:
        """Return the cached response, else the one that `fetch` returns. Cached errors are raised again."""
        with self._lock:
            expires, value = self._entries.get(key, (0.0, None))
        if time.monotonic() >= expires:
            try:
                value = fetch()
                expires = time.monotonic() + self.seconds
            except StudioError as error:
                value, expires = error, time.monotonic() + self.error_seconds
            with self._lock:
                self._entries[key] = (expires, value)
                self._entries.move_to_end(key)
                while len(self._entries) > MAX_ENTRIES:
                    self._entries.popitem(last=False)
        if isinstance(value, StudioError):
            raise value
        result: T = value
        return result

    def forget(self) -> None:
        """Clear the cache."""
        with self._lock:
            self._entries.clear()


HUB_CACHE = ResponseCache()
"""The cache of this process."""
