"""torchrun as a child of the worker: starts the processes that train together, and ends them all when one fails.

python -m studio.worker.torchrun WORKER_PID PROCESSES MEETING RUN_FOLDER
"""

import os
import signal
import sys

from studio.machine.processes import die_with

LAUNCHER = "STUDIO_LAUNCHER"
"""Environment of the processes: whose end is theirs."""
END_SECONDS = 5
"""How long the others may take to end when one has failed."""


def main() -> None:
    """Until all processes have ended."""
    worker, processes, meeting, folder = sys.argv[1:]
    die_with(int(worker))
    # A signal to the worker's group is the worker's to answer: it lets a step end and what was learned be saved.
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
