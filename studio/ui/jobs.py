"""The jobs of this server: long work that a page has started, with progress, result and cancellation.

Each job has a thread and a key of workspace and name, so that a reload finds it again. The services save results.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from studio.schema.errors import StudioError
from studio.services.datasets.subprocess_jobs import Cancelled, Watch
from studio.ui.logs import report
from studio.ui.scheduler import JOB_TURNS

SHOWN_SECONDS = 10.0
"""For how long an ended job is returned. The page drops the first drawing of it when a later action overtakes that."""
MOST_ENDED = 20
"""Ended jobs of a workspace that are remembered. Their names come from requests, so there could be any number."""
Key = tuple[str, str]
"""Workspace, and the name of the job."""


@dataclass
class Job:
    """Progress and result of a job."""

    title: str = ""
    total: int = 0
    """Units of work: rows, bytes or steps; 0 when unknown."""
    done: int = 0
    bytes: int = 0
    """Bytes read, for jobs that read files."""
    cancelled: threading.Event = field(default_factory=threading.Event)
    began: float = field(default_factory=time.monotonic)
    ended: bool = False
    result: Any = None
    error: StudioError | None = None
    first_shown: float = 0.0
    """When the ended job was returned for the first time, in seconds of the monotonic clock. 0: not yet."""
    at_end: Callable[[], None] = lambda: None
    """Called once when the job has ended, also when it was canceled before its turn."""

    def read(self, rows: int, size: int) -> None:
        """Progress of a job that reads rows: rows and bytes so far."""
        self.done, self.bytes = rows, size

    @property
    def watch(self) -> Watch:
        """How work on rows in a subprocess is followed."""
        return Watch(self.read, self.cancelled)

    def advance(self, done: int, total: int, title: str = "") -> None:
        """Progress of any other job."""
        self.done, self.total, self.title = done, total, title or self.title

    def advance_or_end(self, done: int, total: int, title: str = "") -> None:
        """Progress of a job that ends at its next step when it was canceled. Raises `Cancelled`."""
        if self.cancelled.is_set():
            raise Cancelled
        self.advance(done, total, title)

    @property
    def seconds(self) -> float:
        """Seconds since the job began."""
        return time.monotonic() - self.began

    @property
    def share(self) -> float:
        """0 to 1."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """From the speed so far; None while it is too early to estimate."""
        return self.seconds / self.share - self.seconds if self.share > 0.02 and self.seconds > 1 else None


class Jobs:
    """All jobs of this server."""

    def __init__(self) -> None:
        self._jobs: dict[Key, Job] = {}
        self._lock = threading.Lock()

    def begin(self, key: Key, job: Job, work: Callable[[Job], Any]) -> Job:
        """Run `work` when it is the visitor's turn. Returns the running job with this key, if there is one."""
        JOB_TURNS.require_room(key[0])
        with self._lock:
            running = self._jobs.get(key)
            if running is not None and not running.ended:
                return running
            ended = [each for each, known in self._jobs.items() if each[0] == key[0] and known.ended]
            for each in ended[: max(0, len(ended) - MOST_ENDED)]:
                del self._jobs[each]
            self._jobs[key] = job
        threading.Thread(target=self._run, args=(key[0], job, work), name=f"studio {key[1]}", daemon=True).start()
        return job

    def get(self, key: Key) -> Job | None:
        """A job, running or ended; None if there is no such job."""
        return self._jobs.get(key)

    def take(self, key: Key) -> Job | None:
        """Remove and return a job that has ended; None while it runs, or if there is no such job."""
        with self._lock:
            job = self._jobs.get(key)
            return self._jobs.pop(key) if job is not None and job.ended else None

    def look(self, key: Key) -> Job | None:
        """A job; one that has ended is returned for `SHOWN_SECONDS`."""
        with self._lock:
            job = self._jobs.get(key)
            if job is not None and job.ended:
                job.first_shown = job.first_shown or time.monotonic()
                if time.monotonic() - job.first_shown > SHOWN_SECONDS:
                    del self._jobs[key]
                    return None
            return job

    def cancel(self, key: Key) -> None:
        """Cancel a job and forget it."""
        with self._lock:
            job = self._jobs.pop(key, None)
        if job is not None:
            job.cancelled.set()

    def forget(self, workspace: str) -> None:
        """Cancel and forget all jobs of a workspace, because it is removed."""
        for key in [each for each in list(self._jobs) if each[0] == workspace]:
            self.cancel(key)

    def _run(self, workspace: str, job: Job, work: Callable[[Job], Any]) -> None:
        try:
            with JOB_TURNS.turn(workspace, job.cancelled.is_set):
                job.result = None if job.cancelled.is_set() else work(job)
        except StudioError as error:
            job.error = error
        except Exception as error:
            number = report(error, job.title)
            job.error = StudioError(
                "unexpected",
                "Something went wrong.",
                hint=f"Try again. The server's log has the cause under {number}.",
            )
        finally:
            job.at_end()
        job.ended = True


JOBS = Jobs()
