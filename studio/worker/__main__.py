"""Entry point of the worker: train a given run, or import everything first and wait for a run.

python -m studio.worker --home DIR --workspace W RUN_ID
python -m studio.worker --prepared        then one line on stdin: HOME, WORKSPACE, RUN_ID, separated by tabs.
                                          Before it, any number of expected runs (prepared.py).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from studio.machine.scheduling import interrupt_others
from studio.store import Home
from studio.worker.imports import import_heavy
from studio.worker.logs import set_up_log, write_to
from studio.worker.run import Worker


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 trained or stopped, 1 failed, 2 the run belongs to another worker."""
    parser = argparse.ArgumentParser(prog="studio.worker", description="Train one run.")
    parser.add_argument("--home", type=Path, help="data folder of the studio")
    parser.add_argument("--workspace", default="default", help="workspace of the run")
    parser.add_argument("--prepared", action="store_true", help="import first, then read the run from stdin")
    parser.add_argument("run", nargs="?", help="id of the run")
    given = parser.parse_args(arguments)
    if given.prepared:
        return _prepared()
    if not given.run:
        parser.error("the id of a run is missing")
    interrupt_others()
    set_up_log()
    return Worker(Home(given.home), given.workspace, given.run).work()


def _prepared() -> int:
    interrupt_others()
    import_heavy()
    from studio.worker.prepared import PreparedWorker

    waiting = PreparedWorker()
    line = waiting.wait()
    if not line:
        return 0
    home, workspace, run = line.split("\t")
    _set_process_title(run)
    worker = Worker(Home(home), workspace, run, prepared=True, ready=waiting.ready)
    write_to(worker.folder.log)
    set_up_log()
    try:
        return worker.work()
    finally:
        waiting.drop()


def _set_process_title(run: str) -> None:
    """Set the process title, so that `ps` shows which worker trains which run."""
    import setproctitle

    setproctitle.setproctitle(f"{Path(sys.executable).name} -m studio.worker {run}")


if __name__ == "__main__":
    sys.exit(main())
