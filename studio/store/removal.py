"""Removes a workspace, even while one of its runs trains."""

import secrets
import shutil
import signal
import time

from studio.machine.processes import end_group, lives
from studio.store.home import Home
from studio.store.searches import forget_marks

END_SECONDS = 10.0
"""Seconds that a killed worker may take to end."""


def remove_workspace(home: Home, workspace: str) -> None:
    """Remove its runs from the queue, kill their workers, and delete its folder.

    The folder is renamed first, so that the workspace disappears at once even if this process is killed.
    """
    workers = home.queue.remove_workspace(workspace)
    for pid, _ in workers:
        end_group(pid, signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS
    while any(lives(pid, known) for pid, known in workers) and time.monotonic() < deadline:
        time.sleep(0.02)
    forget_marks(home, workspace)
    place, gone = home.root / "workspaces" / workspace, home.root / "removed"
    if place.is_dir():
        gone.mkdir(mode=0o700, exist_ok=True)
        place.rename(gone / f"{workspace}.{secrets.token_hex(4)}")
    sweep_removed(home)


def sweep_removed(home: Home) -> None:
    """Delete removed workspaces that a killed process left behind."""
    shutil.rmtree(home.root / "removed", ignore_errors=True)
