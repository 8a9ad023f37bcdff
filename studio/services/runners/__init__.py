"""Where runs train: the registry of runners. Add a runner as one module and one line here, or as a plugin."""

import os
from collections.abc import Iterator, Mapping

from studio.machine.plugins import Registry
from studio.services.runners.base import Runner
from studio.services.runners.local import LocalRunner
from studio.services.runners.worker_processes import WorkerProcesses
from studio.services.runners.zero_gpu import ZeroGpuRunner
from studio.store import Home

LOCAL = LocalRunner.name
RUNNERS: Registry[type[Runner]] = Registry(
    "runners",
    (LocalRunner, ZeroGpuRunner),
    name_of=lambda runner: runner.name,
    subclass_of=Runner,
    needs=("title", "sentence"),
)
RUNNER_VARIABLE = "STUDIO_RUNNER"
"""Environment variable with the runner that takes the place of `local`."""


def default_runner() -> str:
    """The runner of all runs for which no other one was chosen."""
    return os.environ.get(RUNNER_VARIABLE) or LOCAL


def offered_runners() -> list[str]:
    """The runners that a person can choose, the default one first."""
    others = [name for name, runner in RUNNERS.items() if runner.is_offered and name != LOCAL]
    return list(dict.fromkeys([default_runner(), *others]))


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


__all__ = [
    "LOCAL",
    "RUNNERS",
    "RUNNER_VARIABLE",
    "LocalRunner",
    "Runner",
    "Runners",
    "default_runner",
    "offered_runners",
]
