"""torchrun as a child of the worker. It starts the processes that train together, and ends all when one fails.

python -m studio.worker.torchrun WORKER_PID PROCESSES MEETING RUN_FOLDER
"""

import os
import signal
import sys

from studio.machine.processes import die_with

LAUNCHER = "STUDIO_LAUNCHER"
"""Environment variable of the processes: they end with the process of this pid."""
END_SECONDS = 5
"""Seconds that the other processes have to end when one has failed."""


def main() -> None:
    """Run torchrun until all processes have ended."""
    worker, processes, meeting, folder = sys.argv[1:]
    die_with(int(worker))
    # A signal to the worker's group is handled by the worker: it completes a step and saves the result.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.environ[LAUNCHER] = str(os.getpid())
    from torch.distributed.run import main as torchrun

    torchrun(
        [
            "--standalone",
            "--local-addr",
            "127.0.0.1",
            "--nproc-per-node",
            processes,
            "--signals-to-handle",
            "SIGQUIT",
            "--shutdown-timeout",
            str(END_SECONDS),
            "--module",
            "studio.worker.rank",
            meeting,
            folder,
        ]
    )


if __name__ == "__main__":
    main()
