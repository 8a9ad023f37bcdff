"""Process identity and signals. A pid alone does not identify a process, since the system reuses it."""

import ctypes
import os
import signal
import sys
import threading
import time
from functools import cache
from pathlib import Path

DEATH_SIGNAL = 1
"""The option of Linux's prctl that sets the signal for the death of the parent (PR_SET_PDEATHSIG)."""


SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""As `-P`, for processes that a library starts."""


def module_command(module: str, *arguments: str, python: str = "", quiet: bool = False) -> list[str]:
    """Return the command that runs a module in a process of its own.

    Files in the working folder can't take the place of modules (`-P`): a downloaded `json.py` must not run.

    Args:
        module: The module.
        arguments: Its arguments.
        python: The Python that runs it. Empty: that of this process.
        quiet: Without warnings.
    """
    return [python or sys.executable, "-P", *(["-W", "ignore"] if quiet else []), "-m", module, *arguments]


@cache
def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip()[:8] if path.exists() else ""


def identity(pid: int) -> str:
    """A text that identifies this process among all with the same pid. Empty when the process is not alive.

    On Linux it is the boot id and the process's start in clock ticks, which a change of the clock does not affect.
    Elsewhere it is the creation time. A zombie is not alive.
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
    """Whether the process with this pid and this identity is alive."""
    return bool(pid) and bool(known_identity) and identity(pid or 0) == known_identity


def restarted(known_identity: str) -> bool:
    """Whether the machine was restarted since this identity was taken. False where identities have no boot id."""
    boot, rest, _ = known_identity.partition(":")
    return bool(rest) and boot != _boot()


def end_group(pid: int, signal_number: int) -> None:
    """Send a signal to a process's group, or to the process alone when it leads no group. Does nothing when it is
    gone."""
    try:
        os.killpg(pid, signal_number)
    except (ProcessLookupError, PermissionError):
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            return


def die_with(parent: int) -> None:
    """End this process together with its parent, even when the parent gets SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # the parent may have died before the call
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
