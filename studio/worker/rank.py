"""One of the processes that train a run together. It knows no store: the worker that had it started is told all.

python -m studio.worker.rank MEETING RUN_FOLDER        started by torchrun (worker/torchrun.py), which sets its number

A broad `except` stands in `main` alone: it is the edge of a process.
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
"""Names of what lies in the folder where worker and processes meet."""
log = logging.getLogger("studio.worker.rank")


class RankClient:
    """What is said to the worker and heard from it; in all processes at the same step."""

    def __init__(self, worker: Connection, threads: int) -> None:
        self.worker, self.threads = worker, threads

    def emit(self, event: Any) -> None:
        """One of the processes speaks for all."""
        from studio.training.distributed.processes import leads

        if leads():
            self.worker.send(("event", event))

    def should_stop(self) -> Any:
        """The wish to stop, agreed on; and the cores that the run may use now are shared out anew."""
        from studio.training.distributed.processes import agreed, leads, number, processes

        told: Any = agreed(self._asked() if leads() else None)
        wish, cores = told
        use_share(cores, number(), processes(), self.threads)
        return wish

    def _asked(self) -> Any:
        self.worker.send(("ask", None))
        return self.worker.recv()


def main() -> int:
    """The exit status."""
    die_with(int(os.environ[LAUNCHER]))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    meeting, folder = map(Path, sys.argv[1:])
    number, processes = int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"])
    write_to(folder / f"rank-{number}.log")
    set_up_log()
    worker = Client(str(meeting / SOCKET), "AF_UNIX")
    try:
        worker.send(("here", os.getpid()))
        use_share(worker.recv(), number, processes)
        outcome = _train(worker, meeting / JOB)
        worker.send(("done", outcome if number == 0 else None))
        return 0
    except Exception as error:
        log.exception("This process failed.")
        from studio.worker.messages import in_plain_words

        said = in_plain_words(error).all()[0]
        words = {name: getattr(said, name) for name in ("code", "what", "valid", "hint", "field")}
        given = None if said.given is None else str(said.given)
        worker.send(("failed", ({**words, "given": given}, traceback.format_exc())))
        return 1


def _train(worker: Connection, path: Path) -> Any:
    from studio.worker.run import import_heavy

    import_heavy()
    import torch

    from studio.training.distributed import processes
    from studio.training.loop.run import train

    processes.begin(torch.cuda.is_available())
    job = pickle.loads(path.read_bytes())
    voice = RankClient(worker, job.config.threads)
    outcome = train(replace(job, threads=torch.get_num_threads()), voice.emit, voice.should_stop)
    torch.distributed.destroy_process_group()
    return outcome


if __name__ == "__main__":
    sys.exit(main())
