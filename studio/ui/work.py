"""Owns: long work that the page began (evaluating, exporting) and that a reload must not lose sight of.

One thread a piece of work, known by workspace, run and name. What comes of it is kept by the api, on disk; here is only
how far it is, and why it failed.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from studio.schema.errors import StudioError
from studio.ui.logs import report
from studio.ui.scheduler import JOBS

Key = tuple[str, str, str]
"""Workspace, run, what is done."""
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Piece:
    """How far a piece of work is."""

    done: int = 0
    total: int = 0
    message: str = ""
    began: float = 0.0
    running: bool = True
    error: StudioError | None = None

    @property
    def share(self) -> float:
        """0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """From the pace so far; None while that says nothing."""
        spent = time.monotonic() - self.began
        return spent / self.share - spent if self.share > 0.02 and spent > 1 else None


class Work:
    """All pieces of work of this server."""

    def __init__(self) -> None:
        self._pieces: dict[Key, Piece] = {}
        self._lock = threading.Lock()

    def begin(self, key: Key, fn: Callable[[Tell], object]) -> None:
        """Do it in the background when it is the visitor's turn, unless it is being done already."""
        JOBS.require_room(key[0])
        with self._lock:
            now = self._pieces.get(key)
            if now is not None and now.running:
                return
            self._pieces[key] = Piece(began=time.monotonic())
        threading.Thread(target=self._do, args=(key, fn), name=f"studio {key[2]}", daemon=True).start()

    def look(self, key: Key) -> Piece | None:
        """How far it is, None when it was never begun. A failure is told once."""
        with self._lock:
            piece = self._pieces.get(key)
            if piece is not None and not piece.running:
                del self._pieces[key]
        return piece

    def _do(self, key: Key, fn: Callable[[Tell], object]) -> None:
        error: StudioError | None = None
        try:
            with JOBS.turn(key[0]):
                fn(partial(self._tell, key))
        except StudioError as refused:
            error = refused
        except Exception as unexpected:
            number = report(unexpected, key[2])
            error = StudioError(
                "training-failed",
                "This could not be done.",
                hint=f"The server's log has the cause under {number}.",
            )
        self._set(key, running=False, error=error)

    def _tell(self, key: Key, done: int, total: int, message: str = "") -> None:
        self._set(key, done=done, total=total, message=message)

    def _set(self, key: Key, **changes: object) -> None:
        with self._lock:
            if key in self._pieces:
                self._pieces[key] = replace(self._pieces[key], **changes)  # type: ignore[arg-type]


WORK = Work()
