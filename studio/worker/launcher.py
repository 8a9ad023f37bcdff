"""A run that several processes train together: the worker starts them, hears them, and says how it ended.

The worker stays what it always is: it has the run, beats, hears the wish to stop and keeps the events. Between it and
the processes stands torchrun; whichever of them is killed, none is left behind (machine/processes.py: die_with).
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
from studio.schema.errors import StudioError
from studio.schema.events import StepEvent
from studio.training.distributed.processes import SWAPPED
from studio.worker.rank import JOB, SOCKET

if TYPE_CHECKING:
    from studio.training.loop.callbacks import Emit, ShouldStop
    from studio.training.loop.loading import TrainingJob
    from studio.training.loop.outcome import Outcome

LOOK_SECONDS = 0.5
"""Between two looks at the wish to stop while no process says anything."""
END_SECONDS = 60
"""How long the processes may take to end once they are done."""
LOST = ("reset by peer", "closed by peer", "remote process exited")
"""What one of them says when another is gone in the middle of a word (gloo, NCCL): that one is the cause."""
STALE_SECONDS = 600
"""A part of DeepSpeed takes no longer to be built; whoever began it then is gone."""
log = logging.getLogger("studio.worker")


def train(job: "TrainingJob", emit: "Emit", should_stop: "ShouldStop") -> "Outcome":
    """As `training.run.train`, by several processes."""
    with tempfile.TemporaryDirectory(prefix="studio-") as folder:
        meeting = Path(folder)
        (meeting / JOB).write_bytes(pickle.dumps(job))
        with socket(AF_UNIX, SOCK_STREAM) as door:
            door.bind(str(meeting / SOCKET))
            door.listen(job.config.processes)
            with _launched(job, meeting) as launcher:
                return RankServer(door, launcher, emit, should_stop).listen()


@contextmanager
def _launched(job: "TrainingJob", meeting: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """torchrun, of the worker's own process group; gone afterwards, and all that it started with it."""
    count, swapped = job.config.processes, job.folder / SWAPPED
    shutil.rmtree(swapped, ignore_errors=True)  # of a worker that was killed
    for number in range(count):
        (job.folder / f"rank-{number}.log").unlink(missing_ok=True)
    forget_stale_builds(extensions())
    launcher = subprocess.Popen(
        [sys.executable, "-m", "studio.worker.torchrun", str(os.getpid()), str(count), str(meeting), str(job.folder)],
        stdin=subprocess.DEVNULL,
        env=environment(count),
    )
    try:
        yield launcher
    finally:
        launcher.kill()
        launcher.wait()
        shutil.rmtree(swapped, ignore_errors=True)


def environment(processes: int) -> dict[str, str]:
    """What the processes find around them: a thread for each core of theirs, a GPU each, and what DeepSpeed needs."""
    facts = machine_facts()
    threads = str(max(1, facts.cores // processes))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"  # ninja lies beside python
    found = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, threads), "PATH": path}
    if sys.platform == "linux":
        found["GLOO_SOCKET_IFNAME"] = "lo"  # they talk among themselves, and to no other machine
    if facts.gpus:
        found["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, range(processes)))
    return found


class RankServer:
    """Hears the processes of a run until all have ended."""

    def __init__(
        self, door: socket, launcher: "subprocess.Popen[bytes]", emit: "Emit", should_stop: "ShouldStop"
    ) -> None:
        self.door, self.launcher, self.emit, self.should_stop = door, launcher, emit, should_stop
        self.talking: list[Connection] = []
        self.done: set[Connection] = set()
        self.trouble: StudioError | None = None
        """The first that happened; what comes after is its consequence."""
        self.lost = False
        """One was missed by another one."""
        self.outcome: Outcome | None = None
        self.gpus = machine_facts().gpus
        self._kills = oom_kills()
        self._memory, self._memory_looked = 0, 0.0

    def listen(self) -> "Outcome":
        """What came of the run, or why nothing did."""
        while self.launcher.poll() is None or self.talking:
            ready = wait([*self.talking, self.door], LOOK_SECONDS)
            for each in ready:
                if isinstance(each, Connection):
                    self._hear(each)
                else:
                    self._welcome()
            if not ready:
                self.should_stop()
            if self.outcome is not None and not self.talking:
                break
        self._end()
        if self.trouble is None and self.lost:
            self.trouble = killed(self._lacked_memory())
        if self.trouble is not None:
            raise self.trouble
        if self.outcome is None:
            if self._lacked_memory():
                raise killed(for_memory=True)
            raise StudioError(
                "training-failed",
                "The processes that should train together ended before they began.",
                hint="The run's log has the details.",
            )
        return self.outcome

    def _welcome(self) -> None:
        accepted, _ = self.door.accept()
        self.talking.append(Connection(accepted.detach()))

    def _hear(self, one: Connection) -> None:
        try:
            kind, said = one.recv()
            getattr(self, f"_{kind}")(one, said)
        except (EOFError, ConnectionError):
            self.talking.remove(one)
            one.close()
            if one not in self.done:
                self.trouble = self.trouble or killed(self._lacked_memory())

    def _here(self, one: Connection, said: Any) -> None:
        one.send(cores())

    def _ask(self, one: Connection, said: Any) -> None:
        one.send((self.should_stop(), cores()))

    def _event(self, one: Connection, event: Any) -> None:
        if isinstance(event, StepEvent) and not self.gpus:
            event = event.model_copy(update={"memory_bytes": self._peak()})
        self.emit(event)

    def _done(self, one: Connection, outcome: Any) -> None:
        self.done.add(one)
        self.outcome = outcome or self.outcome

    def _failed(self, one: Connection, said: Any) -> None:
        words, trace = said
        self.done.add(one)
        log.error("One of the processes failed.\n%s", trace)
        if any(each in trace for each in LOST):
            self.lost = True
            return
        self.trouble = self.trouble or StudioError(words.pop("code"), words.pop("what"), **words)

    def _peak(self) -> int:
        """Of the worker and all its processes, looked up once a second."""
        if time.monotonic() - self._memory_looked >= 1:
            self._memory, self._memory_looked = max(self._memory, peak_memory()), time.monotonic()
        return self._memory

    def _lacked_memory(self) -> bool:
        """Whether the system has ended a process for want of memory since they began."""
        return oom_kills() > self._kills

    def _end(self) -> None:
        try:
            self.launcher.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("The processes did not end by themselves.")


def cores() -> list[int]:
    """The cores that the run may use now: those of the worker, which gives one up while a model host answers."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def killed(for_memory: bool) -> StudioError:
    """The plain sentence for a process that is gone without a word."""
    if for_memory:
        return StudioError(
            "out-of-memory",
            "The system ended one of the processes that trained together, since there was no memory left.",
            hint="Use fewer rows at once, shorter rows, fewer processes, or a smaller model.",
        )
    return StudioError(
        "training-failed",
        "One of the processes that trained together was killed.",
        hint="Resume goes on from the last checkpoint.",
    )


def extensions() -> Path:
    """Where torch keeps the parts of DeepSpeed that were built on this machine."""
    return Path(os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions")


def forget_stale_builds(folder: Path) -> None:
    """A build that was killed leaves a mark behind, and every later one would wait for it for ever."""
    for mark in list(folder.glob("**/lock")):  # all are found before the first one goes
        with suppress(FileNotFoundError):  # another run's build ended just now
            if time.time() - mark.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(mark.parent, ignore_errors=True)
