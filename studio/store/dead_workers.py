"""Workers that died or hang: how to detect and end them, and the reason to report."""

import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from studio.machine.limits import oom_kills
from studio.machine.processes import end_group, lives, restarted

PATIENCE = 30 * 60.0
"""Seconds that a worker waits for a locked database. Longer than any backup takes."""
STALE_SECONDS = PATIENCE + 15 * 60
"""A live worker without a heartbeat for this long hangs. A worker that waits for the database does not."""
END_SECONDS = 60
"""Seconds that a hung worker has to end after SIGTERM."""
HANGS = f"Its process has not responded for {STALE_SECONDS / 60:.0f} minutes and is being stopped."
Cause = Literal["memory", "hung", "restarted", "killed"]
Safe = Callable[[Path], int | None]
"""Folder of checkpoints → the last step from which the run can resume."""
CAUSE_TEXT: dict[Cause, str] = {
    "memory": "The system stopped it, because memory ran out. A smaller batch size, a smaller maximum length, QLoRA or "
    "a smaller model needs less memory.",
    "hung": f"It did not respond for {STALE_SECONDS / 60:.0f} minutes and was stopped.",
    "restarted": "The machine was restarted.",
    "killed": "Another program or a person killed it.",
}


def is_hung(row: sqlite3.Row) -> bool:
    """Whether the worker is alive but has sent no heartbeat for too long. Uses the monotonic clock, which can't be
    set and which stops while the machine sleeps."""
    return lives(row["pid"], row["identity"]) and _silent(row) > STALE_SECONDS


def end(row: sqlite3.Row) -> None:
    """Send SIGTERM, and after `END_SECONDS` SIGKILL, to the worker and the processes that it started."""
    end_group(row["pid"], signal.SIGTERM if _silent(row) <= STALE_SECONDS + END_SECONDS else signal.SIGKILL)


def heartbeat_when_hung() -> float:
    """The heartbeat to store when a worker is found to hang. Its time to end counts from now."""
    return time.monotonic() - STALE_SECONDS - 1e-3


def cause_of(row: sqlite3.Row) -> Cause:
    """Why a worker is gone, as far as it is known."""
    if restarted(row["identity"]):
        return "restarted"
    if row["kills"] is not None and oom_kills() > row["kills"]:
        return "memory"
    return "hung" if row["reason"] == HANGS else "killed"


def failure_reason(cause: Cause, row: sqlite3.Row, checkpoints: Path, safe: Safe | None) -> str:
    """The reason to report: where the worker ended, why, and from which step the run can resume."""
    step, steps = row["step"], row["steps"]
    ended = "The training process ended unexpectedly before the first step."
    if steps:
        ended = f"The training process ended unexpectedly at step {step} of {steps}."
    saved = safe(checkpoints) if safe else None
    resume = "Resume continues from the last checkpoint, if there is one."
    if saved is not None:
        resume = f"All progress up to step {saved} is saved. Resume continues from there."
    elif safe:
        resume = "There is no checkpoint, so Resume starts again."
    return f"{ended} {CAUSE_TEXT[cause]} {resume}"


def _silent(row: sqlite3.Row) -> float:
    return 0.0 if row["beat"] is None else time.monotonic() - row["beat"]
