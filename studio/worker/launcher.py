"""Trains a run in several processes: the worker starts them, receives their events and reports the outcome.

The worker keeps its usual duties: it owns the run, sends heartbeats, reads stop requests and stores events. torchrun is
between it and the processes. If any of them is killed, no process is left behind (machine/processes.py: `die_with`).
"""

import logging
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket
from typing import TYPE_CHECKING, Any

from studio.machine.cores import THREAD_VARIABLES
from studio.machine.facts import machine_facts
from studio.machine.limits import oom_kills
from studio.machine.memory import peak_memory
from studio.machine.processes import SAFE_PATH, module_command
from studio.schema.errors import StudioError
from studio.schema.events import StepEvent
from studio.training.distributed.processes import OFFLOAD_FOLDER
from studio.worker.rank import JOB, SOCKET

if TYPE_CHECKING:
    from studio.training.loop.callbacks import Emit, ShouldStop
    from studio.training.loop.loading import TrainingJob
    from studio.training.loop.outcome import Outcome

LOOK_SECONDS = 0.5
"""Seconds between two checks for a stop request while no process sends anything."""
END_SECONDS = 60
"""Seconds that the processes have to end once they are done."""
LOST = ("reset by peer", "closed by peer", "remote process exited")
"""Messages of a process whose peer died during communication (gloo, NCCL). The peer is the cause."""
STALE_SECONDS = 600
"""Seconds after which an unfinished build of a DeepSpeed extension is considered abandoned."""
log = logging.getLogger("studio.worker")


def train(job: "TrainingJob", emit: "Emit", should_stop: "ShouldStop") -> "Outcome":
    """As `training.loop.run.train`, in several processes."""
    with tempfile.TemporaryDirectory(prefix="studio-") as folder:
        meeting = Path(folder)
        (meeting / JOB).write_bytes(pickle.dumps(job))
        with socket(AF_UNIX, SOCK_STREAM) as listener:
            listener.bind(str(meeting / SOCKET))
            listener.listen(job.config.processes)
            with _launched(job, meeting) as launcher:
                return RankServer(listener, launcher, emit, should_stop).listen()


@contextmanager
def _launched(job: "TrainingJob", meeting: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """torchrun, in the worker's process group. It ends with the block, together with its processes."""
    count, offload_folder = job.config.processes, job.folder / OFFLOAD_FOLDER
    shutil.rmtree(offload_folder, ignore_errors=True)  # left over from a worker that was killed
    for number in range(count):
        (job.folder / f"rank-{number}.log").unlink(missing_ok=True)
    forget_stale_builds(extensions())
    launcher = subprocess.Popen(
        module_command("studio.worker.torchrun", str(os.getpid()), str(count), str(meeting), str(job.folder)),
        stdin=subprocess.DEVNULL,
        env=environment(count),
    )
    try:
        yield launcher
    finally:
        launcher.kill()
        launcher.wait()
        shutil.rmtree(offload_folder, ignore_errors=True)


def environment(processes: int) -> dict[str, str]:
    """The environment of the processes: threads per process, GPUs, and what DeepSpeed needs."""
    facts = machine_facts()
    threads = str(max(1, facts.cores // processes))
    # ninja is installed beside python.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    variables = {**os.environ, **SAFE_PATH, **dict.fromkeys(THREAD_VARIABLES, threads), "PATH": path}
    if sys.platform == "linux":
        variables["GLOO_SOCKET_IFNAME"] = "lo"  # the processes communicate on this machine only
    if facts.gpus:
        chosen = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each.strip()]
        gpus = chosen if len(chosen) >= processes else list(map(str, range(processes)))
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[:processes])
    return variables


class RankServer:
    """Receives messages from the processes of a run until all have ended."""

    def __init__(
        self, listener: socket, launcher: "subprocess.Popen[bytes]", emit: "Emit", should_stop: "ShouldStop"
    ) -> None:
        self.listener, self.launcher, self.emit, self.should_stop = listener, launcher, emit, should_stop
        self.connections: list[Connection] = []
        self.done: set[Connection] = set()
        self.error: StudioError | None = None
        """The first error. Later ones are its consequences."""
        self.peer_lost = False
        """A process reported that it lost a peer."""
        self.outcome: Outcome | None = None
        self.gpus = machine_facts().gpus
        self._kills = oom_kills()
        self._memory, self._memory_looked = 0, 0.0

    def listen(self) -> "Outcome":
        """Receive until all processes have ended. Returns the outcome, or raises the first error."""
        while self.launcher.poll() is None or self.connections:
            ready = wait([*self.connections, self.listener], LOOK_SECONDS)
            for each in ready:
                if isinstance(each, Connection):
                    self._receive(each)
                else:
                    self._accept()
            if not ready:
                self.should_stop()
            if self.outcome is not None and not self.connections:
                break
        self._end()
        if self.error is None and self.peer_lost:
            self.error = killed(self._ran_out_of_memory())
        if self.error is not None:
            raise self.error
        if self.outcome is None:
            if self._ran_out_of_memory():
                raise killed(for_memory=True)
            raise StudioError(
                "training-failed",
                "The training processes ended before the first step.",
                hint="The run's log has the details.",
            )
        return self.outcome

    def _accept(self) -> None:
        accepted, _ = self.listener.accept()
        self.connections.append(Connection(accepted.detach()))

    def _receive(self, connection: Connection) -> None:
        try:
            kind, payload = connection.recv()
            getattr(self, f"_{kind}")(connection, payload)
        except (EOFError, ConnectionError):
            self.connections.remove(connection)
            connection.close()
            if connection not in self.done:
                self.error = self.error or killed(self._ran_out_of_memory())

    def _here(self, connection: Connection, payload: Any) -> None:
        connection.send(cores())

    def _ask(self, connection: Connection, payload: Any) -> None:
        connection.send((self.should_stop(), cores()))

    def _event(self, connection: Connection, event: Any) -> None:
        if isinstance(event, StepEvent) and not self.gpus:
            event = event.model_copy(update={"memory_bytes": self._peak()})
        self.emit(event)

    def _done(self, connection: Connection, outcome: Any) -> None:
        self.done.add(connection)
        self.outcome = outcome or self.outcome

    def _failed(self, connection: Connection, payload: Any) -> None:
        error, trace = payload
        self.done.add(connection)
        log.error("One of the processes failed.\n%s", trace)
        if any(each in trace for each in LOST):
            self.peer_lost = True
            return
        self.error = self.error or StudioError.from_dict(error)

    def _peak(self) -> int:
        """Peak memory in bytes of the worker and its processes, measured at most once a second."""
        if time.monotonic() - self._memory_looked >= 1:
            self._memory, self._memory_looked = max(self._memory, peak_memory()), time.monotonic()
        return self._memory

    def _ran_out_of_memory(self) -> bool:
        """Whether the system has killed a process because memory ran out since they started."""
        return oom_kills() > self._kills

    def _end(self) -> None:
        try:
            self.launcher.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("The processes did not end in time.")


def cores() -> list[int]:
    """The cores that the run may use now. The worker gives one up while a model host answers."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def killed(for_memory: bool) -> StudioError:
    """The error for a process that was killed."""
    if for_memory:
        return StudioError(
            "out-of-memory",
            "The system stopped one of the training processes, because memory ran out.",
            hint="Use a smaller batch size, a smaller maximum length, fewer processes, or a smaller model.",
        )
    return StudioError(
        "training-failed",
        "One of the training processes was killed.",
        hint="Resume continues from the last checkpoint.",
    )


def extensions() -> Path:
    """The folder where torch keeps the DeepSpeed extensions that were built on this machine."""
    return Path(os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions")


def forget_stale_builds(folder: Path) -> None:
    """Delete abandoned builds. A killed build leaves a lock file that later ones would wait for forever."""
    for mark in list(folder.glob("**/lock")):  # find all before deleting the first
        with suppress(FileNotFoundError):  # another run's build just ended
            if time.time() - mark.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(mark.parent, ignore_errors=True)
