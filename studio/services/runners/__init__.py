"""Where runs train: the registry of runners. Add a runner as one module and one line here, or as a plugin."""

from collections.abc import Iterator, Mapping

from studio.machine.plugins import Registry
from studio.services.runners.base import Runner
from studio.services.runners.local import LocalRunner
from studio.services.runners.worker_processes import WorkerProcesses
from studio.store import Home

LOCAL = LocalRunner.name
RUNNERS: Registry[type[Runner]] = Registry(
    "runners", (LocalRunner,), name_of=lambda runner: runner.name, subclass_of=Runner, needs=("title", "sentence")
)


class Runners(Mapping[str, Runner]):
    """The runners of a data folder, by name. Each is made when it is first needed."""

    def __init__(self, home: Home, processes: WorkerProcesses) -> None:
        self._home, self._processes = home, processes
        self._made: dict[str, Runner] = {}

    def __getitem__(self, name: str) -> Runner:
        if name not in self._made:
            self._made[name] = RUNNERS[name](self._home, self._processes)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(RUNNERS)

    def __len__(self) -> int:
        return len(RUNNERS)


__all__ = ["LOCAL", "RUNNERS", "LocalRunner", "Runner", "Runners"]
