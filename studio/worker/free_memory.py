"""The memory that a waiting run could use, measured every few seconds without importing anything large."""

import time

from studio.machine.facts import free_for_training

LOOK_SECONDS = 3.0


class FreeMemory:
    """Free bytes, including this process's own memory."""

    def __init__(self) -> None:
        self._bytes, self._looked = 0, -LOOK_SECONDS

    def __call__(self) -> int:
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._bytes, self._looked = free_for_training(), time.monotonic()
        return self._bytes
