"""Locks between processes: on an open file, or on a lock file beside a path.

The system releases a lock when the file is closed, and when its process ends in any way.
"""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

POLL = 0.2
"""Seconds between two tries to get a lock."""


def try_lock(file: IO[str] | int) -> bool:
    """Lock an open file or a descriptor without waiting. Return whether no other process or thread had locked it.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def alone(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold a lock file for a path. Other processes and threads wait.

    `waiting` is called every `POLL` seconds while another holds the lock. It can raise an exception to give up.
    """
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        if waiting is None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        while waiting is not None and not try_lock(lock):
            waiting()
            time.sleep(POLL)
        yield
