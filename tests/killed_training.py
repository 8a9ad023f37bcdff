"""A training without a worker around it, which kills itself when a step has been told.

python -m tests.killed_training JOB STEP        the job is pickled
"""

import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

from studio.schema.events import StepEvent


def main(job: str, step: str) -> None:
    """Up to that step."""
    from studio.training.loop.run import train

    def emit(event: Any) -> None:
        if isinstance(event, StepEvent) and event.step == int(step):
            os.kill(os.getpid(), signal.SIGKILL)

    train(pickle.loads(Path(job).read_bytes()), emit, lambda: None)


if __name__ == "__main__":
    main(*sys.argv[1:])
