"""The interface of a source of base models."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Protocol

from studio.schema.models import ModelInfo, ModelSource

POLL = 0.3
"""Seconds between two looks at what a process has written."""


@dataclass(frozen=True)
class Fetching:
    """How a model is brought to this machine."""

    progress: Callable[[int, int], None]
    """Called with bytes done and total bytes."""
    should_stop: Callable[[], bool] = lambda: False
    token: str | None = None
    """A Hub token."""
    trust: bool = False
    """The owner allows the model's code and its pickled weights."""

    @contextmanager
    def watching(self, folder: Path, total: int = 0) -> Iterator[Event]:
        """Within this block, report the bytes of the weights that a process writes to a folder.

        Yields an event that is set when the process should stop. `total` is 0 when the bytes in all are unknown.
        """
        cancel, ended = Event(), Event()

        def watch() -> None:
            while not ended.wait(POLL):
                if self.should_stop():
                    cancel.set()
                with suppress(OSError):  # a file was renamed
                    done = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
                    self.progress(min(done, total or done), total or done)

        watcher = Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield cancel
        finally:
            ended.set()
            watcher.join()


class Source(Protocol):
    """One source, for example the starter models, a GGUF file, a local folder, or the Hub."""

    @property
    def title(self) -> str:
        """Its name for people."""

    @property
    def is_searched(self) -> bool:
        """Whether the search box asks it."""

    @property
    def name(self) -> ModelSource:
        """The source's registered name."""

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the model with this name. None if the name does not belong to this source. Raise `StudioError`."""

    def fetch(self, info: ModelInfo, fetching: Fetching) -> ModelInfo:
        """Bring a model that `find` returned to this machine: download or convert it, and return it.

        If `should_stop` returns true, return `info` unchanged (not `here`). Raise `StudioError`.
        """

    def known(self) -> list[ModelInfo]:
        """Return the models that are present or declared, without network requests."""

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Return the models whose names contain the text. Empty for a source that can't be searched."""
