"""Starts the worker of the run whose turn is next. A worker that ends does it, and so do the server and commands."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from studio.machine.environment import child_environment
from studio.machine.facts import free_for_training
from studio.store.home import Home

Start = Callable[[str, str, Path], object]
"""(workspace, run, log) → starts a worker."""
MOST = 3
"""Workers that are started at once: of the next run, and of one that fits while the next one does not."""


def start_worker(home: Home, workspace: str, run: str, log: Path) -> "subprocess.Popen[bytes]":
    """A worker process of its own session, for a run in the queue; without secrets when the run is a visitor's."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "studio.worker", "--home", str(home.root), "--workspace", workspace, run],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=child_environment(home.workspace(workspace).is_visitors),
        )


def call_next(
    home: Home, start: Start | None = None, free: Callable[[], int] = free_for_training, for_visitors: bool = False
) -> None:
    """Start a worker for the next run when it has none. A run that is queued no more leaves the queue instead.

    `for_visitors`: this process works for a visitor of a demo and has no secrets, so that it starts workers of
    visitors only; an owner's run waits for the server.
    """
    begin = start or (lambda workspace, run, log: start_worker(home, workspace, run, log))

    def may(workspace: str) -> bool:
        return not for_visitors or home.workspace(workspace).is_visitors

    for _ in range(MOST):
        called = home.queue.call(free, may)
        if called is None:
            return
        there = home.workspace_exists(called.workspace)
        runs = home.workspace(called.workspace).runs if there else None
        if runs and any(run == called.run for run, _ in runs.in_state("queued")):
            begin(called.workspace, called.run, runs.folder(called.run).log)
        else:
            home.queue.leave(called.run)
