"""Results that stay valid for a moment, for functions that a page calls many times while it is drawn."""

import time
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class KeptFor(Generic[P, R]):
    """A function whose results are kept for some seconds. For functions with few different arguments."""

    def __init__(self, seconds: float, function: Callable[P, R]) -> None:
        self.seconds, self.function = seconds, function
        self._results: dict[object, tuple[float, R]] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result, at most `seconds` old. Threads that call at once may each compute it."""
        key = args, frozenset(kwargs.items())
        now, kept = time.monotonic(), self._results.get(key)
        if kept is None or now - kept[0] >= self.seconds:
            kept = self._results[key] = (now, self.function(*args, **kwargs))
        return kept[1]

    def forget(self) -> None:
        """Compute all results again."""
        self._results.clear()


def kept_for(seconds: float) -> Callable[[Callable[P, R]], KeptFor[P, R]]:
    """Decorate a function, so that its results are kept for some seconds."""
    return lambda function: KeptFor(seconds, function)
