"""Garbage collection while a process starts."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def paused_garbage_collection() -> Iterator[None]:
    """Import modules, and build what lives as long as the process, without garbage collection.

    Imports make a million objects, and hardly any of them is garbage. Looking for it takes a sixth of a start.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
