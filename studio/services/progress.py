"""How the caller of a service follows long work."""

from collections.abc import Callable

Progress = Callable[[int, int, str], None] | None
"""Gets how much is done, how much there is in all, and what is being done. None: nothing gets it."""


def no_progress(done: int, total: int, message: str) -> None:
    """Ignore the progress."""
