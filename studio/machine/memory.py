"""How much memory processes take, measured while they live."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def peak_memory(pids: Iterable[int] | None = None) -> int:
    """Most bytes in use so far by these processes; without any named, by this one and its children."""
    return sum(_peak(pid) for pid in (pids if pids is not None else _family()))


def forget_peak() -> None:
    """What this process uses now counts as its peak, where the system keeps one and lets it be set back."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _family() -> list[int]:
    import psutil

    try:
        return [os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))]
    except psutil.Error:
        return [os.getpid()]


def _peak(pid: int) -> int:
    """The high-water mark of a process; what it uses now where the system keeps no mark; 0 when it is gone."""
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
