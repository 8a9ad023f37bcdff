"""The interface of a runner: a place where runs train. Add a runner as one module and one line in the registry.

A runner gets a run's folder, which describes the run (config.yaml, rows), and returns a stream of events. The studio
saves the events, shows them and decides what happens next. No other code knows where a run trains.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from studio.schema.base import FrozenModel
from studio.schema.events import AnyEvent
from studio.schema.runs import StopWish
from studio.store import Workspace
from studio.store.runs import RunFolder


class Offer(FrozenModel):
    """Hardware that a runner provides."""

    name: str
    memory_bytes: int
    """Bytes of memory for training: of the GPU, or of the machine where it has none."""
    gpus: tuple[str, ...] = ()
    """Names of its GPUs."""
    dollars_an_hour: float = 0.0


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


class Runner(Protocol):
    """A place where runs train."""

    name: str
    title: str
    sentence: str

    def check(self) -> str:
        """Why the runner can't be used now, and what to do. Empty when it can."""

    def offers(self) -> tuple[Offer, ...]:
        """Its hardware."""

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

    def is_submitted(self, run: RunHandle) -> bool:
        """Whether the runner knows the run."""

    def withdraw(self, run: RunHandle) -> None:
        """Take a waiting run out of the queue."""

    def stop(self, run: RunHandle, wish: StopWish) -> None:
        """Ask a running run to stop. Each further call uses more force, until the run has stopped."""

    def position(self, run: RunHandle) -> Position | None:
        """The place of a queued run. None when it is not queued."""

    def events(self, run: RunHandle) -> Iterable[AnyEvent]:
        """Events that the studio has not saved yet. A worker on this machine saves its events itself."""

    def fetch(self, run: RunHandle) -> None:
        """Copy the results of an ended run into its folder."""

    def reconcile(self) -> None:
        """Start the next run, and kill processes that hang."""
