"""One of the processes that train a run together. It uses no store: the worker sends it the job.

python -m studio.worker.rank MEETING RUN_FOLDER        started by torchrun (worker/torchrun.py), which sets its rank

The broad `except` in `main` is the boundary of the process.
"""

import logging
import os
import pickle
import signal
import sys
import traceback
from dataclasses import replace
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any

from studio.machine.cores import use_share
from studio.machine.processes import die_with
from studio.worker.logs import set_up_log, write_to
from studio.worker.torchrun import LAUNCHER

JOB, SOCKET = "job.pickle", "socket"
"""File names in the folder where the worker and the processes meet."""
log = logging.getLogger("studio.worker.rank")


class RankClient:
    """Sends events to the worker and receives stop requests. All processes call it at the same steps."""

    def __init__(self, worker: Connection, threads: int) -> None:
        self.worker, self.threads = worker, threads

    def emit(self, event: Any) -> None:
        """Send an event. Only the main process sends."""
        from studio.training.distributed.processes import is_main_process

        if is_main_process():
            self.worker.send(("event", event))

    def should_stop(self) -> Any:
        """The stop request, equal in all processes. Also updates the cores that each process may use."""
        from studio.training.distributed.processes import broadcast_from_main, is_main_process, rank, world_size

        answer: Any = broadcast_from_main(self._request() if is_main_process() else None)
        wish, cores = answer
        use_share(cores, rank(), world_size(), self.threads)
        return wish

    def _request(self) -> Any:
        self.worker.send(("ask", None))
        return self.worker.recv()


def main() -> int:
    """Returns the exit status."""
    die_with(int(os.environ[LAUNCHER]))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    meeting, folder = map(Path, sys.argv[1:])
    rank, world_size = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
    write_to(folder / f"rank-{rank}.log")
    set_up_log()
    worker = Client(str(meeting / SOCKET), "AF_UNIX")
    try:
        worker.send(("here", os.getpid()))
        use_share(worker.recv(), rank, world_size)
        outcome = _train(worker, meeting / JOB)
        worker.send(("done", outcome if rank == 0 else None))
        return 0
    except Exception as error:
        log.exception("This process failed.")
        from studio.worker.messages import to_studio_error

        worker.send(("failed", (to_studio_error(error).to_dict(), traceback.format_exc())))
        return 1


def _train(worker: Connection, path: Path) -> Any:
    from studio.worker.imports import import_heavy

    import_heavy()
    import torch

    from studio.training.distributed.processes import init_process_group
    from studio.training.loop.run import train

    init_process_group(torch.cuda.is_available())
    job = pickle.loads(path.read_bytes())
    client = RankClient(worker, job.config.threads)
    outcome = train(replace(job, threads=torch.get_num_threads()), client.emit, client.should_stop)
    torch.distributed.destroy_process_group()
    return outcome


if __name__ == "__main__":
    sys.exit(main())
