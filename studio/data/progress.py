"""Progress of reading files. Readers report to the current callback, if there is one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

ProgressCallback = Callable[[int, int], None]
"""Arguments: rows so far, bytes of the files so far."""
_CURRENT: ContextVar["_Progress | None"] = ContextVar("reading", default=None)


class _Progress:
    """Sums the progress of the readers of one or more files."""

    def __init__(self, callback: ProgressCallback) -> None:
        self.callback = callback
        self.rows, self.bytes = 0, 0

    def add(self, rows: int = 0, size: int = 0) -> None:
        self.rows, self.bytes = self.rows + rows, self.bytes + size
        self.callback(self.rows, self.bytes)


@contextmanager
def report_progress_to(callback: ProgressCallback | None) -> Iterator[None]:
    """Report the progress of all reading in this context to `callback`."""
    token = _CURRENT.set(_Progress(callback) if callback else None)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def advance(rows: int = 0, size: int = 0) -> None:
    """Report that so many more rows or bytes were read."""
    if current := _CURRENT.get():
        current.add(rows, size)
