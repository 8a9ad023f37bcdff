"""The interface of a runner: a place where runs train. Add one as a module and a line in the registry, or as a plugin.

A runner gets a run's folder, which describes the run (config.yaml, rows), and returns a stream of events. The studio
saves the events, shows them and decides what happens next. No other code knows where a run trains.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from studio.schema.base import FrozenModel
from studio.schema.events import AnyEvent
from studio.schema.runs import StopWish
from studio.services.runners.worker_processes import WorkerProcesses
from studio.store import Home, Workspace
from studio.store.runs import RunFolder


class Offer(FrozenModel):
    """Hardware that a runner provides."""

    name: str
    memory_bytes: int
    """Bytes of memory for training: of the GPU, or of the machine where it has none."""
    gpus: tuple[str, ...] = ()
    """Names of its GPUs."""


@dataclass(frozen=True)
class RunHandle:
    """A run of a workspace, as a runner receives it."""

    workspace: Workspace
    id: str

    @property
    def folder(self) -> RunFolder:
        """The run's folder."""
        return self.workspace.runs.folder(self.id)


@dataclass(frozen=True)
class Position:
    """The place of a queued run."""

    before: int
    """Runs that train before it."""
    memory: tuple[int, int] | None = None
    """Bytes that it needs and bytes that are free, while it waits for memory."""


class Runner:
    """A place where runs train. One object serves a data folder; it is made when it is first needed."""

    name: str
    title: str
    sentence: str
    is_elsewhere = True
    """Runs train on other machines: the studio saves what `events` returns, and sees no process of theirs."""
    is_offered = True
    """A person can choose it. The others are chosen by the environment."""

    def __init__(self, home: Home, processes: WorkerProcesses) -> None:
        self.home, self.processes = home, processes

    def check(self) -> str:
        """Why the runner can't be used now, and what to do. Empty when it can."""
        return ""

    def offers(self) -> tuple[Offer, ...]:
        """Its hardware. Empty: unknown."""
        return ()

    def require_place(self, run: RunHandle) -> None:
        """Refuse what `submit` would refuse.

        Raises:
            StudioError `limit-reached`.
        """

    def submit(self, run: RunHandle, rerun: bool = False) -> None:
        """Queue a run, or start it. `rerun`: the run has ended before and continues from its last checkpoint.

        Raises:
            StudioError `limit-reached`: when the limits allow no more runs.
        """
        raise NotImplementedError

    def is_submitted(self, run: RunHandle) -> bool:
        """Whether the runner knows the run."""
        raise NotImplementedError

    def withdraw(self, run: RunHandle) -> None:
        """Take a waiting run out of the queue."""
        raise NotImplementedError

    def stop(self, run: RunHandle, wish: StopWish) -> None:
        """Ask a running run to stop. Each further call uses more force, until the run has stopped."""
        raise NotImplementedError

    def position(self, run: RunHandle) -> Position | None:
        """The place of a queued run. None when it is not queued."""
        raise NotImplementedError

    def events(self, run: RunHandle, saved: int) -> Iterable[AnyEvent]:
        """Events of the run after the first `saved` ones, in order. A worker on this machine saves its events itself.

        A `StateEvent` reports the status of the run (schema/runs.py: RunStatus).
        """
        return ()

    def fetch(self, run: RunHandle) -> None:
        """Copy the results of an ended run into its folder. After a failure it is called again."""

    def reconcile(self) -> None:
        """Start the next run, and kill processes that hang."""
