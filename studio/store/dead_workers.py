"""A worker that is gone without a last word, or says nothing any more: ended if need be, and told why, in words."""

import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from studio.machine.limits import oom_kills
from studio.machine.processes import end_group, lives, restarted

PATIENCE = 30 * 60.0
"""Seconds that a worker waits for a database that another program holds: longer than any backup."""
STALE_SECONDS = PATIENCE + 15 * 60
"""A living worker that has said nothing for so long hangs: one that waits for the database does not."""
END_SECONDS = 60
"""A worker that hangs may answer SIGTERM for so long."""
HANGS = f"It has said nothing for {STALE_SECONDS / 60:.0f} minutes: its process is being ended."
Cause = Literal["memory", "hung", "restarted", "killed"]
Safe = Callable[[Path], int | None]
"""The last step in a folder of checkpoints from which a run can go on."""
WHY: dict[Cause, str] = {
    "memory": "the system ended it, since there was no memory left. Fewer rows at once, shorter rows, QLoRA or a "
    "smaller model need less.",
    "hung": f"it said nothing for {STALE_SECONDS / 60:.0f} minutes, so it was ended.",
    "restarted": "the machine was restarted.",
    "killed": "somebody or something killed it.",
}


def hangs(row: sqlite3.Row) -> bool:
    """Whether the worker lives and is silent. By the clock that counts from the machine's start: nobody sets it, and it
    stands while the machine sleeps."""
    return lives(row["pid"], row["identity"]) and _silent(row) > STALE_SECONDS


def end(row: sqlite3.Row) -> None:
    """SIGTERM, which it may obey, and then SIGKILL, to the worker and all that it started."""
    end_group(row["pid"], signal.SIGTERM if _silent(row) <= STALE_SECONDS + END_SECONDS else signal.SIGKILL)


def beat_of_one_that_hangs() -> float:
    """What stands for its last heartbeat when it was found: it is given its time to end from now on."""
    return time.monotonic() - STALE_SECONDS - 1e-3


def cause_of(row: sqlite3.Row) -> Cause:
    """Why a worker is gone, as far as can be told."""
    if restarted(row["identity"]):
        return "restarted"
    if row["kills"] is not None and oom_kills() > row["kills"]:
        return "memory"
    return "hung" if row["reason"] == HANGS else "killed"


def in_words(cause: Cause, row: sqlite3.Row, checkpoints: Path, safe: Safe | None) -> str:
    """Where the worker ended and why, and what is safe."""
    where = f"in step {row['step']} of {row['steps']}" if row["steps"] else "before the first step"
    ended = f"The process that trained ended {where} without a last word: {WHY[cause]}"
    if safe is None:
        return f"{ended} Resume goes on from its last checkpoint, if it has one."
    step = safe(checkpoints)
    if step is None:
        return f"{ended} There is no checkpoint to go on from: Resume starts again."
    return f"{ended} Everything up to step {step} is safe: Resume goes on from there."


def _silent(row: sqlite3.Row) -> float:
    return 0.0 if row["beat"] is None else time.monotonic() - row["beat"]
