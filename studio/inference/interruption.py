"""Interruption of long work, between the tokens of a batch and while it waits for another process.

The model host answers chats at these points, and ends work that was stopped. Elsewhere nothing happens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


def _do_nothing() -> None:
    """The default handler."""


_handler: Callable[[], None] = _do_nothing


def pause() -> None:
    """Let the host do other work. Raises an exception to end this work."""
    _handler()


@contextmanager
def interrupted_by(handler: Callable[[], None]) -> Iterator[None]:
    """Call the handler at each pause within the context."""
    global _handler
    previous, _handler = _handler, handler
    try:
        yield
    finally:
        _handler = previous
