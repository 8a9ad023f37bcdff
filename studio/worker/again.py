"""The run begins anew in a process with nothing in memory: after want of it, or since imports are not needed yet."""

import os
import sys
from pathlib import Path


def start_anew(home: Path, workspace: str, run: str) -> None:
    """Become a fresh worker for the run: the same process, with an empty memory."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(
        sys.executable,
        [sys.executable, "-m", "studio.worker", "--home", str(home), "--workspace", workspace, run],
    )
