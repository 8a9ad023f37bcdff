"""How much of this machine other programs use now, as CPU time between two moments."""

import os
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

import psutil

from studio.machine.facts import usable_cores

SAMPLE_SECONDS = 0.25
"""Seconds between two samples, if the last one is too new or too old."""
FRESH_SECONDS, OLD_SECONDS = 2.0, 20.0
"""A result is used again for this long. A sample is compared with one of at most this age."""
SMALLEST_SHARE = 0.1


@dataclass(frozen=True)
class Sample:
    """CPU seconds since the start of the machine, at one moment."""

    moment: float
    busy: float
    """Of all processes, on the cores that this process may use."""
    own: dict[int, float]
    """Of each process of the studio."""


class LoadMeter:
    """Measures the load of other programs. Remembers the last sample, so that most calls don't wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Sample | None = None
        self._measured, self._share = float("-inf"), 1.0

    def free_share(self, own: Collection[int] = ()) -> float:
        """The share of its cores that a training process would get now, `SMALLEST_SHARE` to 1.

        Processes of the studio do not count as load: this one, `own`, and those that they started.
        """
        with self._lock:
            if time.monotonic() - self._measured < FRESH_SECONDS:
                return self._share
            first = self._last
            if first is None or not SAMPLE_SECONDS <= time.monotonic() - first.moment <= OLD_SECONDS:
                first = sample(own)
                time.sleep(SAMPLE_SECONDS)
            self._last = last = sample(own)
            cores, others, own_cores = usable_cores(), *used_cores(first, last)
            self._measured, self._share = time.monotonic(), share_of(cores, others, _queued(own_cores))
            return self._share


def used_cores(first: Sample, last: Sample) -> tuple[float, float]:
    """Cores that other programs and the studio used between two samples."""
    seconds = max(1e-3, last.moment - first.moment)
    own = sum(used - first.own[pid] for pid, used in last.own.items() if pid in first.own)
    return max(0.0, last.busy - first.busy - own) / seconds, own / seconds


def share_of(cores: int, others: float, queued: float) -> float:
    """The share of the cores that a process with a thread on each core gets.

    Args:
        cores: cores that it may use.
        others: cores that other programs use.
        queued: threads of other programs that want a core.
    """
    fair = cores / (cores + max(others, queued))
    return min(1.0, max(SMALLEST_SHARE, fair, (cores - others) / cores))


def _queued(own_cores: float) -> float:
    """Threads of other programs that want a core, on average of the last minute. 0 where it is not known."""
    if usable_cores() != (os.cpu_count() or 1):  # in a container, the number is that of the whole machine
        return 0.0
    return max(0.0, psutil.getloadavg()[0] - own_cores)


def sample(own: Collection[int]) -> Sample:
    """The CPU seconds used until now. `own`: processes of the studio besides this one."""
    cores = psutil.cpu_times(percpu=True)
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(cores))
    busy = sum(sum(core[:8]) - core.idle - getattr(core, "iowait", 0.0) for n, core in enumerate(cores) if n in allowed)
    processes: dict[int, float] = {}
    for pid in {os.getpid(), *own}:
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            for each in (process, *process.children(recursive=True)):
                with suppress(psutil.Error):
                    times = each.cpu_times()
                    processes[each.pid] = times.user + times.system
    return Sample(time.monotonic(), busy, processes)


_METER = LoadMeter()


def free_share(own: Collection[int] = ()) -> float:
    """As `LoadMeter.free_share`, with the meter of this process."""
    return _METER.free_share(own)
