"""How far the reading of files is, for whoever waits. Readers tell it here, without knowing who listens, if anybody."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Watcher = Callable[[int, int], None]
"""Rows so far, and bytes of the files so far."""
_WATCHER: ContextVar["_Watched | None"] = ContextVar("reading", default=None)


class _Watched:
    """Adds up what the readers of one or more files say."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.rows, self.bytes = 0, 0

    def add(self, rows: int = 0, size: int = 0) -> None:
        self.rows, self.bytes = self.rows + rows, self.bytes + size
        self.watcher(self.rows, self.bytes)


@contextmanager
def watched(watcher: Watcher | None) -> Iterator[None]:
    """Have a watcher told of all that is read within."""
    token = _WATCHER.set(_Watched(watcher) if watcher else None)
    try:
        yield
    finally:
        _WATCHER.reset(token)


def tell(rows: int = 0, size: int = 0) -> None:
    """So many more rows, or bytes, were read."""
    if listening := _WATCHER.get():
        listening.add(rows, size)
