"""How a model is brought to this machine: who follows it, and what it may use."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

POLL = 0.3
"""Seconds between two looks at what a process has written."""


@dataclass(frozen=True)
class Fetching:
    """How a model is brought to this machine."""

    progress: Callable[[int, int], None] = lambda done, total: None
    """Called with bytes done and total bytes."""
    should_stop: Callable[[], bool] = lambda: False
    token: str | None = None
    """A Hub token."""
    trust: bool = False
    """The owner allows the model's code and its pickled weights."""
    tools: Path | None = None
    """The folder of the environments of extra tools, for models that are converted."""

    @contextmanager
    def watching(self, folder: Path, total: int = 0) -> Iterator[Event]:
        """`watching_bytes` of the weights that a process writes to a folder or below it."""
        with self.watching_bytes(
            lambda: sum(file.stat().st_size for file in folder.rglob("*.safetensors")), total
        ) as stop:
            yield stop

    @contextmanager
    def watching_bytes(self, written: Callable[[], int], total: int = 0) -> Iterator[Event]:
        """Within this block, report the bytes that a process has written.

        Yields an event that is set when the process should stop. `total` is 0 when the bytes in all are unknown.
        """
        cancel, ended = Event(), Event()

        def watch() -> None:
            while not ended.wait(POLL):
                if self.should_stop():
                    cancel.set()
                with suppress(OSError):  # a file was renamed
                    done = written()
                    self.progress(min(done, total or done), total or done)

        watcher = Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield cancel
        finally:
            ended.set()
            watcher.join()
