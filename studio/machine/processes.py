"""Is a process still the one that we started? A pid alone says nothing: after a restart it is used again."""

import ctypes
import os
import signal
import sys
import threading
import time
from functools import cache
from pathlib import Path

DEATH_SIGNAL = 1
"""Linux's prctl: which signal a process gets when its parent dies (PR_SET_PDEATHSIG)."""


@cache
def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip()[:8] if path.exists() else ""


def identity(pid: int) -> str:
    """What tells this process from any other that has or will have its pid; empty when it does not live.

    On Linux it is the boot's id and the process's start in ticks since then, which no change of the clock moves;
    elsewhere the time of its creation. A zombie does not live.
    """
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            return ""
        return "" if fields[0] in "ZX" else f"{_boot()}:{fields[19]}"
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.Error:
        return ""


def lives(pid: int | None, known_identity: str) -> bool:
    """Whether the very process that had this identity still lives."""
    return bool(pid) and bool(known_identity) and identity(pid or 0) == known_identity


def restarted(known_identity: str) -> bool:
    """Whether the machine was restarted since; False where identities do not tell."""
    boot, told, _ = known_identity.partition(":")
    return bool(told) and boot != _boot()


def end_group(pid: int, signal_number: int) -> None:
    """Send a signal to a process's group, or to it alone when it leads none; a gone process is fine."""
    try:
        os.killpg(pid, signal_number)
    except (ProcessLookupError, PermissionError):
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            return


def die_with(parent: int) -> None:
    """End this process with the one that started it, however that ends: not even SIGKILL leaves an orphan."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it was gone before it could be asked for
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
