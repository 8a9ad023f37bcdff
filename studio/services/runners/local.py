"""The local runner: a queue, one run at a time, and a worker process that outlives the server."""

import signal
from datetime import UTC, datetime
from itertools import takewhile

from studio.machine.facts import machine_facts
from studio.machine.processes import end_group
from studio.schema.events import StateEvent, StoredEvent
from studio.schema.numbers import timestamp
from studio.schema.runs import StopWish
from studio.services.runners.base import Offer, Position, RunHandle, Runner
from studio.services.runners.worker_processes import WorkerProcesses
from studio.services.runs.run_messages import PAUSING
from studio.store import Home
from studio.store.files import is_written_to
from studio.store.next_worker import start_next_worker
from studio.store.queue import Owner

TERM_SECONDS, KILL_SECONDS = 90, 150
"""Seconds after a request to stop until the worker gets SIGTERM, and SIGKILL."""
SAVING_SECONDS = 60
"""A worker that wrote into its run's folder within this number of seconds is saving, and is not killed."""


class LocalRunner(Runner):
    """Runs on this machine."""

    name = "local"
    title = "This machine"
    sentence = "One run trains at a time. The others wait in the queue."

    is_elsewhere = False

    def __init__(self, home: Home, processes: WorkerProcesses) -> None:
        super().__init__(home, processes)
        self.queue = home.queue

    def offers(self) -> tuple[Offer, ...]:
        """This machine's memory and GPUs."""
        machine = machine_facts()
        gpus = tuple(gpu.name for gpu in machine.gpus)
        return (Offer(name=self.title, memory_bytes=machine.training_memory, gpus=gpus),)

    def require_place(self, run: RunHandle) -> None:
        """See `Runner`."""
        self.queue.require_place(run.workspace.name, _owner(run), run.id)

    def submit(self, run: RunHandle, rerun: bool = False) -> None:
        """See `Runner`. A visitor's turns and limits are shared by network address."""
        memory = run.workspace.runs.spec(run.id).memory_bytes
        self.queue.enqueue(run.workspace.name, run.id, memory, rerun, _owner(run))
        self._start_next()

    def is_submitted(self, run: RunHandle) -> bool:
        """Whether the run is in the queue."""
        return self.queue.position(run.id) is not None

    def withdraw(self, run: RunHandle) -> None:
        """Remove the run from the queue, and end its waiting worker."""
        worker = self.queue.worker(run.id)
        self.queue.remove(run.id)
        if worker:
            end_group(worker, signal.SIGTERM)
        self._start_next()

    def stop(self, run: RunHandle, wish: StopWish) -> None:
        """The worker reads the request from the database. One that does not stop in time gets SIGTERM, then SIGKILL.

        A large model takes time to save.
        """
        runs, worker = run.workspace.runs, run.workspace.runs.worker(run.id)
        if wish == "pause":  # it may finish its validation first
            return
        states = reversed(run.workspace.events.last(run.id, "state", 5))
        stopping = list(takewhile(_is_stopping, states))  # a stop from before a resume does not count
        if not stopping or worker.pid is None:
            return
        waited = datetime.now(UTC).timestamp() - timestamp(stopping[-1].time)
        if waited > KILL_SECONDS:
            if not is_written_to(runs.folder(run.id).root, SAVING_SECONDS):
                end_group(worker.pid, signal.SIGKILL)
        elif waited > TERM_SECONDS or waited < -1:  # negative: the clock was set back since
            end_group(worker.pid, signal.SIGTERM)

    def position(self, run: RunHandle) -> Position | None:
        """See `Runner`."""
        for before, entry in enumerate(self.queue.listing()):
            if entry.run == run.id:
                return Position(before, None if entry.free is None else (entry.memory, entry.free))
        return None

    def reconcile(self) -> None:
        """Kill waiting workers that hang, start the next worker, and watch those that other workers started."""
        self.queue.end_hung_workers()
        self._start_next()
        self.processes.watch(self.queue.listing())

    def _start_next(self) -> None:
        start_next_worker(self.home, self.processes.start)


def _owner(run: RunHandle) -> Owner:
    return Owner(run.workspace.address, run.workspace.limits)


def _is_stopping(stored: StoredEvent) -> bool:
    """Whether it is a request to stop. One to pause, which may take its time, is none."""
    event = stored.event
    return isinstance(event, StateEvent) and event.status == "stopping" and event.message != PAUSING
