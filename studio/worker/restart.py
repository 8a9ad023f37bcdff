"""Replaces this process by a fresh worker with empty memory, for a run or to wait for one."""

import os
import sys
from pathlib import Path

from studio.machine.environment import child_environment
from studio.machine.processes import module_command

_ENVIRONMENT = dict(os.environ)
"""The environment at the start of this process. Variables that a run has set do not apply to the next one."""


def restart_worker(home: Path, workspace: str, run: str, visitors: bool = False) -> None:
    """Replace this process by a fresh worker for the run, with empty memory. A visitor's worker gets no secrets."""
    _replace_process("--home", str(home), "--workspace", workspace, run, visitors=visitors)


def restart_prepared() -> None:
    """Replace this process by a prepared worker without a run. Input that arrives meanwhile waits in the pipe."""
    _replace_process("--prepared")


def _replace_process(*arguments: str, visitors: bool = False) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    command = module_command("studio.worker", *arguments)
    os.execve(command[0], command, child_environment(visitors, _ENVIRONMENT))
