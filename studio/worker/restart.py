"""A process begins anew with nothing in memory: for its run, after want of it say, or to wait for one."""

import os
import sys
from pathlib import Path

from studio.machine.environment import child_environment

_GIVEN = dict(os.environ)
"""As it was when this process began: what a run has set since is not for the next one."""


def start_anew(home: Path, workspace: str, run: str, visitors: bool = False) -> None:
    """Become a fresh worker for the run: the same process, with an empty memory; for a visitor's without secrets."""
    _become("--home", str(home), "--workspace", workspace, run, visitors=visitors)


def wait_anew() -> None:
    """Become a prepared worker that has been told nothing yet; what is said to it meanwhile waits in its pipe."""
    _become("--prepared")


def _become(*arguments: str, visitors: bool = False) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", "studio.worker", *arguments], child_environment(visitors, _GIVEN))
