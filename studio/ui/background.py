"""Owns: long work on rows that an open page began: how far it is, what came of it, and the way to stop it.

One thread a piece of work, which waits for a process of its own; known by workspace and by what is done, so that a
reload finds it again. What comes of it is kept by the api, on disk.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from studio.schema.errors import StudioError
from studio.ui.logs import report
from studio.ui.scheduler import JOBS

Key = tuple[str, str]
"""Workspace, and what is done."""
Tell = Callable[[int, int], None]


@dataclass
class Piece:
    """How far a piece of work is."""

    title: str
    total: int = 0
    """Bytes, or rows, that there are; 0 when nobody knows."""
    rows: int = 0
    bytes: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)
    over: bool = False
    result: Any = None
    error: StudioError | None = None

    def tell(self, rows: int, size: int) -> None:
        """So many rows and bytes are done."""
        self.rows, self.bytes = rows, size

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began


class Background:
    """All pieces of work of this server."""

    def __init__(self) -> None:
        self._pieces: dict[Key, Piece] = {}
        self._lock = threading.Lock()

    def begin(self, key: Key, piece: Piece, do: Callable[[Piece], Any]) -> Piece:
        """Do it when it is the visitor's turn, unless it is being done already."""
        JOBS.require_room(key[0])
        with self._lock:
            now = self._pieces.get(key)
            if now is not None:
                return now
            self._pieces[key] = piece
        threading.Thread(target=self._do, args=(key[0], piece, do), name=f"studio {key[1]}", daemon=True).start()
        return piece

    def look(self, key: Key) -> Piece | None:
        """How far it is; None when there is none."""
        return self._pieces.get(key)

    def take(self, key: Key) -> Piece | None:
        """A piece that is over, once; None while it is at work or when there is none."""
        with self._lock:
            piece = self._pieces.get(key)
            return self._pieces.pop(key) if piece is not None and piece.over else None

    def stop(self, key: Key) -> None:
        """Have it stopped, and forget it."""
        with self._lock:
            piece = self._pieces.pop(key, None)
        if piece is not None:
            piece.stop.set()

    def _do(self, workspace: str, piece: Piece, do: Callable[[Piece], Any]) -> None:
        try:
            with JOBS.turn(workspace, piece.stop.is_set):
                piece.result = None if piece.stop.is_set() else do(piece)
        except StudioError as error:
            piece.error = error
        except Exception as unexpected:
            number = report(unexpected, piece.title)
            piece.error = StudioError(
                "unexpected", "This could not be done.", hint=f"The server's log has the cause under {number}."
            )
        piece.over = True


BACKGROUND = Background()
