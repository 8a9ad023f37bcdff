"""Starts the worker of the next run in the queue. Called by workers that end, by the server and by commands."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from studio.machine.environment import child_environment
from studio.machine.facts import free_for_training
from studio.machine.processes import module_command
from studio.store.home import Home

Start = Callable[[str, str, Path], object]
"""(workspace, run, log file) → starts a worker."""
MAX_STARTS = 3
"""Workers started by one call: for the next run, and for one that fits into memory while the next does not."""


def start_worker(
    home: Home, workspace: str, run: str, log: Path, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start a worker process in its own session for a queued run. A visitor's worker gets no secrets.

    `environment` has variables on top of those of this process.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            module_command("studio.worker", "--home", str(home.root), "--workspace", workspace, run),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=child_environment(home.workspace(workspace).is_visitors) | dict(environment or {}),
        )


def start_next_worker(
    home: Home, start: Start | None = None, free: Callable[[], int] = free_for_training, for_visitors: bool = False
) -> None:
    """Start a worker for the next run if it has none. Removes runs from the queue that are no longer queued.

    `for_visitors`: this process works for a visitor of a demo and has no secrets. It starts only workers of visitors,
    and an owner's run waits for the server.
    """
    begin = start or (lambda workspace, run, log: start_worker(home, workspace, run, log))

    def allowed(workspace: str) -> bool:
        return not for_visitors or home.workspace(workspace).is_visitors

    for _ in range(MAX_STARTS):
        entry = home.queue.next_to_start(free, allowed)
        if entry is None:
            return
        exists = home.workspace_exists(entry.workspace)
        runs = home.workspace(entry.workspace).runs if exists else None
        if runs and any(run == entry.run for run, _ in runs.in_state("queued")):
            begin(entry.workspace, entry.run, runs.folder(entry.run).log)
        else:
            home.queue.remove(entry.run)
