"""Functions that test_run_in_process.py calls in a process of their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from studio.schema.errors import StudioError


def add(a: int, b: int) -> int:
    return a + b


def facts() -> dict[str, Any]:
    """What the process has: its open descriptors, variables, threads and priority."""
    folder = Path("/proc/self/fd")
    return {
        "descriptors": sorted(os.readlink(each) for each in folder.iterdir() if each.exists()),
        "environment": dict(os.environ),
        "nice": os.nice(0),
    }


def count(to: int, progress: Callable[[int, str], None]) -> str:
    print("A library prints this.")
    for number in range(to):
        progress(number, f"number {number}")
    return "counted"


def write_until_stopped(path: str, progress: Callable[[], None]) -> None:
    """Work without end that removes its file when it is stopped."""
    file = Path(path)
    file.write_text("half")
    try:
        while True:
            progress()
            time.sleep(0.01)
    finally:
        file.unlink()


def ignore_sigterm(progress: Callable[[], None]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    progress()
    time.sleep(600)


def start_another(progress: Callable[[int], None]) -> None:
    """Start a process that keeps stderr open, and end by SIGKILL."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    progress(child.pid)
    kill_self()


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def take_memory(size: int) -> int:
    return len(b"x" * size)


def exit_silently() -> None:
    os._exit(3)


def refuse() -> None:
    first = StudioError(
        "bad-setting", "Too high.", given=9, valid=("1", "2"), hint="Lower it.", field="epochs", rows=[3]
    )
    second = StudioError("bad-line", "Broken.", given=Path("rows.csv"), valid="a number", rows=range(2))
    third = StudioError("unknown-name", "None such.", given=["a", 1], valid={"x": 1}, problems=[first, second])
    raise StudioError(first.code, first.what, given=None, field="all", problems=[first, second, third])


def divide() -> float:
    return 1 / int("0")


def return_no_json() -> Any:
    return object()
