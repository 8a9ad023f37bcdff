"""Memory of running processes."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def peak_memory(pids: Iterable[int] | None = None) -> int:
    """Peak memory in bytes of these processes. Without pids: of this process and its children."""
    return sum(_peak(pid) for pid in (pids if pids is not None else _family()))


def forget_peak() -> None:
    """Reset the recorded peak of this process to its current use, where the system supports it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _family() -> list[int]:
    import psutil

    try:
        return [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]
    except psutil.Error:
        return [os.getpid()]


def _peak(pid: int) -> int:
    """The peak of a process in bytes. The current use where the system records no peak, 0 when the process is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0
