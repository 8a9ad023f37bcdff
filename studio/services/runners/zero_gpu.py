"""The runner of a ZeroGPU Space: each run is one call inside `spaces.GPU`, which lends a GPU for a limited time.

`spaces` runs the call in a process that it forks from the server, and ends that process when the time is over. The
call starts a usual worker there and waits for it. Its results are files and rows of the database, as always. Outside of
a ZeroGPU Space the decorator does nothing, and the call runs in a thread of the server.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import ContextVar
from functools import cache
from importlib.util import find_spec
from math import ceil
from pathlib import Path

import psutil

from studio.machine.environment import ONE_RUN
from studio.machine.facts import GPU_OF_RUNS
from studio.machine.processes import end_group
from studio.schema.errors import StudioError
from studio.schema.numbers import duration
from studio.services.runners.base import RunHandle
from studio.services.runners.local import LocalRunner
from studio.services.runners.worker_processes import WorkerProcesses
from studio.store import Home
from studio.store.next_worker import start_next_worker, start_worker

SAVING_SECONDS = 30
"""What a call takes beyond the training time: imports before it, and saving after it."""
LONGEST_SECONDS = 270
"""Training time where the demo has no limit: with SAVING_SECONDS, the daily quota of a free account."""
SPREAD = 1.5
"""A run may take so many times as long as estimated before the GPU is taken away."""
Call = Callable[[str, str, str, int, int], int]
visitor_token: ContextVar[str] = ContextVar("visitor_token", default="")
"""It names to ZeroGPU the visitor whose quota a run takes. The server sets it for each request. It is not saved."""
_log = logging.getLogger("studio.runs")


def train_on_gpu(home: str, workspace: str, run: str, seconds: int, port: int) -> int:
    """Run the worker of a queued run, and wait for its end. Returns its exit status.

    `seconds` is the time that the GPU is asked for. `port`: the server's port, whose connections this process must not
    hold open.
    """
    if _is_forked():
        _release_inherited(port)
    log = Home(Path(home)).workspace(workspace).runs.folder(run).log
    worker = start_worker(Home(Path(home)), workspace, run, log, {ONE_RUN: "1", GPU_OF_RUNS: ""})
    return worker.wait()


def seconds_of_call(home: str, workspace: str, run: str, seconds: int, port: int) -> int:
    """What `spaces.GPU` calls with the same arguments to learn how long the GPU is needed."""
    return seconds


@cache
def gpu_call() -> Call:
    """`train_on_gpu` inside `spaces.GPU`. ZeroGPU must know it before the page is served."""
    import spaces

    call: Call = spaces.GPU(train_on_gpu, duration=seconds_of_call)
    return call


class ZeroGpuRunner(LocalRunner):
    """Runs of a ZeroGPU Space, one at a time."""

    name = "zero-gpu"
    title = "ZeroGPU"
    sentence = "A Space with ZeroGPU lends each run a GPU for a short time."

    port = 7860
    """The port of the server."""
    as_visitor: Callable[[str], AbstractContextManager[None]] = staticmethod(lambda token: nullcontext())
    """Makes `spaces` take the quota of the visitor whose token is given."""

    is_offered = False

    def __init__(self, home: Home, processes: WorkerProcesses) -> None:
        super().__init__(home, processes)
        self._lock, self._call = threading.Lock(), threading.Thread()
        self._tokens: dict[str, str] = {}
        """Queued run → the token of its visitor."""

    def check(self) -> str:
        """See `Runner`."""
        if find_spec("spaces") is None:
            return "This runner needs the package spaces, which a ZeroGPU Space has."
        return ""

    def submit(self, run: RunHandle, rerun: bool = False) -> None:
        """See `Runner`. A run that takes longer than a call may take is refused."""
        spec, allowed = run.workspace.runs.spec(run.id), _training_seconds(run)
        if spec.seconds > allowed:
            raise StudioError(
                "limit-reached",
                "This run takes longer than ZeroGPU lends a GPU for one run.",
                given=f"about {duration(spec.seconds)}",
                valid=f"up to {duration(allowed)}",
                hint="Choose fewer epochs, a maximum number of steps, or fewer rows.",
            )
        self._tokens[run.id] = visitor_token.get()
        super().submit(run, rerun)

    def withdraw(self, run: RunHandle) -> None:
        """See `Runner`."""
        self._tokens.pop(run.id, None)
        super().withdraw(run)

    def _start_next(self) -> None:
        """Call for the next run, unless one is being trained. Its memory is that of the GPU, which is unknown here."""
        with self._lock:
            if not self._call.is_alive() and not self.queue.has_running_run():
                start_next_worker(self.home, self._start, free=lambda: 1 << 62)

    def _start(self, workspace: str, run: str, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        if not self._call.is_alive():
            self._call = threading.Thread(target=self._train, args=(workspace, run), name=f"studio {run}", daemon=True)
            self._call.start()

    def _train(self, workspace: str, run: str) -> None:
        """Call, and report to the run what ZeroGPU refused."""
        handle = RunHandle(self.home.workspace(workspace), run)
        try:
            with self.as_visitor(self._tokens.pop(run, "")):
                gpu_call()(str(self.home.root), workspace, run, _seconds_to_ask_for(handle), self.port)
        except Exception as error:  # of the package spaces: no GPU is free, the quota is used up, the time is over
            _log.warning("ZeroGPU ended the call for run %s: %s: %s", run, type(error).__name__, error)
            self._end(handle, str(getattr(error, "message", error)).rstrip("."))

    def _end(self, run: RunHandle, reason: str) -> None:
        """End a worker that lost its GPU. A run that had not started yet stops, with the reason."""
        if worker := self.queue.worker(run.id):
            end_group(worker, signal.SIGKILL)
        words = f"ZeroGPU lent no GPU: {reason}. Try again later."
        if run.workspace.runs.set_status(run.id, "stopped", words, only_from=("queued",), reason=words):
            self.queue.remove(run.id)


def _training_seconds(run: RunHandle) -> float:
    """How long a run may train in one call."""
    return 60 * run.workspace.limits.run_minutes or LONGEST_SECONDS


def _seconds_to_ask_for(run: RunHandle) -> int:
    """From the estimate, with a reserve, and at most what a run may take. A visitor's quota must cover it."""
    allowed, estimated = _training_seconds(run), run.workspace.runs.spec(run.id).seconds
    return SAVING_SECONDS + ceil(min(allowed, SPREAD * estimated) if estimated else allowed)


def _is_forked() -> bool:
    """Whether this is the process that `spaces` has forked from the server."""
    import multiprocessing

    return multiprocessing.parent_process() is not None


def _release_inherited(port: int) -> None:
    """Release the server's connections and file locks, which this process has inherited and may hold for long.

    Browsers and other threads of the server would wait for them. The numbers stay in use, as objects refer to them.
    """
    null = os.open(os.devnull, os.O_RDWR)
    connections = [each for each in psutil.Process().net_connections("tcp") if each.laddr and each.laddr.port == port]
    inherited = {each.fd for each in connections if each.fd >= 0}
    for info in Path("/proc/self/fdinfo").glob("*"):
        with suppress(OSError):
            if "FLOCK" in info.read_text():
                inherited.add(int(info.name))
    for descriptor in inherited:
        os.dup2(null, descriptor)
