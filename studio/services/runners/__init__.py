"""Where runs train: the registry of runners. Add a runner as one module and one line here."""

from studio.services.runners.base import Runner
from studio.services.runners.local import LocalRunner
from studio.services.runners.worker_processes import WorkerProcesses
from studio.store import Home


def runners(home: Home, processes: WorkerProcesses) -> dict[str, Runner]:
    """The runners of a data folder, by name."""
    made: tuple[Runner, ...] = (LocalRunner(home, processes),)
    return {runner.name: runner for runner in made}


__all__ = ["LocalRunner", "Runner", "runners"]
