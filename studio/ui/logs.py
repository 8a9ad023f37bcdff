"""The server's log: `HOME/logs/server.log` and stderr. A record that repeats is counted, not written again."""

import asyncio
import hashlib
import logging
import logging.handlers
import re
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LOG = logging.getLogger("studio.ui")
BYTES, FILES = 5_000_000, 3
WINDOW = 60.0
"""Seconds in which equal records are one."""
_MOST = 500
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{20,}")


class Line(logging.Formatter):
    """One record as text, without Hub tokens."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The text of a record."""
        return _TOKEN.sub("hf_…", super().format(record))


class Rotating(logging.handlers.RotatingFileHandler):
    """A file that stays small. On a full disk the server runs without it."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore an error of the file: stderr has the record too."""


class Deduplicating(logging.Handler):
    """Passes a record on once a minute; the next one of its kind says how many were left out."""

    def __init__(
        self, handlers: list[logging.Handler], window: float = WINDOW, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self.handlers, self.window, self._clock = handlers, window, clock
        self._seen: OrderedDict[tuple[str, ...], tuple[float, int, logging.LogRecord]] = OrderedDict()

    def emit(self, record: logging.LogRecord) -> None:
        """Write, or count."""
        if record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError):
            return  # the end of the server cancels requests that take long
        now, key = self._clock(), kind(record)
        for old in [each for each, (began, _, _) in self._seen.items() if now - began >= self.window]:
            self._report(old)
        if key in self._seen:
            began, count, first = self._seen[key]
            self._seen[key] = (began, count + 1, first)
            return
        self._seen[key] = (now, 0, record)
        if len(self._seen) > _MOST:
            self._report(next(iter(self._seen)))
        self._write(record)

    def _report(self, key: tuple[str, ...]) -> None:
        """Forget a kind of record; write how often it was left out."""
        _, count, first = self._seen.pop(key)
        if count:
            text = f"{first.getMessage()} (repeated {count} more times)"
            self._write(logging.LogRecord(first.name, first.levelno, first.pathname, first.lineno, text, (), None))

    def _write(self, record: logging.LogRecord) -> None:
        for handler in self.handlers:
            handler.handle(record)

    def close(self) -> None:
        """Write what was counted, and close the files."""
        self.acquire()
        try:
            for key in list(self._seen):
                self._report(key)
        finally:
            self.release()
        for handler in self.handlers:
            handler.close()
        super().close()


def kind(record: logging.LogRecord) -> tuple[str, ...]:
    """What makes two records the same: an exception's type and place, else the message."""
    error = record.exc_info[1] if record.exc_info else None
    return (record.name, place(error) if error else record.getMessage())


def place(error: BaseException) -> str:
    """Type of an exception and the line that raised it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} {frames[-1].filename}:{frames[-1].lineno}" if frames else type(error).__name__


def report(error: BaseException, what: str) -> str:
    """Write an unexpected exception to the log. Its id: the same for the same cause, so that the log holds it."""
    number = hashlib.sha256(place(error).encode()).hexdigest()[:6]
    LOG.error("Error %s: %s", number, what, exc_info=error)
    return number


@contextmanager
def writing(folder: Path) -> Iterator[Path]:
    """Write warnings and errors of this process to a file in the folder, and to stderr."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "server.log"
    handlers: list[logging.Handler] = [
        Rotating(path, maxBytes=BYTES, backupCount=FILES, encoding="utf-8", delay=True),
        logging.StreamHandler(sys.stderr),
    ]
    for handler in handlers:
        handler.setFormatter(Line())
    log, root = Deduplicating(handlers), logging.getLogger()
    root.addHandler(log)
    try:
        yield path
    finally:
        root.removeHandler(log)
        log.close()
