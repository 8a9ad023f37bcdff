"""Where long work can be interrupted: between the tokens of a batch, and while it waits for another process.

The model host answers chats there, and ends work that was stopped. Elsewhere nothing happens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


def _nothing() -> None:
    """No one wants to interrupt."""


_handler: Callable[[], None] = _nothing


def pause() -> None:
    """Let the host do something else. It raises to end the work."""
    _handler()


@contextmanager
def interrupted_by(handler: Callable[[], None]) -> Iterator[None]:
    """Call the handler at each pause of the work within."""
    global _handler
    before, _handler = _handler, handler
    try:
        yield
    finally:
        _handler = before
