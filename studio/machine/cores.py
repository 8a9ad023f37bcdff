"""Who computes on which core. Torch processes that fight over cores lose most of their speed, so they are kept apart.

A run alone has all cores. While a model host answers, the run gives up one and the host is pinned to that one. Where a
process can't be pinned (outside Linux) the same calls only ask torch for fewer threads.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

_whole: frozenset[int] = frozenset()
"""The cores that this process might use before anything was given up; empty until then."""
_now: tuple[frozenset[int], int, bool] | None = None
"""Cores and threads as they were last set here, and whether torch was told."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def prepare_threads(count: int) -> None:
    """Limit the threads of this process. Best before torch is imported: its pool is sized by then."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(max(1, count))
    _set_torch_threads(count)


def give_up_core(threads: int = 0) -> bool:
    """What a run does when a host comes: leave it the last core. False where there is only one.

    `threads` is how many this process has; 0 means one for each core. Call it between two steps.
    """
    cores = _cores()
    if len(cores) < 2:
        return False
    _use(cores - {max(cores)}, min(threads or len(cores), len(cores) - 1))
    return True


def take_back(threads: int = 0) -> None:
    """What a run does when the host falls idle."""
    _use(_cores(), threads or len(_cores()))


def use_one_core() -> None:
    """What a host does while a run is at work: one thread, on the core that the run gives up. Cheap when repeated."""
    pin_to_core(max(_cores()))


def use_all_cores() -> None:
    """What a host does when no run is at work."""
    _use(_cores(), len(_cores()))


def leave_a_core() -> None:
    """What a host does that answers visitors of a demo: the server, which is busy too, has a core for itself."""
    _use(_cores(), max(1, len(_cores()) - 1))


def pin_to_core(core: int) -> None:
    """One thread, on one core; on all of them where that core is none of ours."""
    _use(frozenset({core}) & _cores() or _cores(), 1)


def use_share(cores: Sequence[int], number: int, processes: int, threads: int = 0) -> None:
    """What one process of a run that has several does: its own part of the run's cores, so that none fights for one.

    With more processes than cores some share one. `threads` is how many all have together; 0 means one for each core.
    """
    begin, end = (len(cores) * each // processes for each in (number, number + 1))
    mine = frozenset(cores[begin:end] or [cores[number % len(cores)]])
    _use(mine & _cores() or _cores(), min(len(mine), max(1, threads // processes)) if threads else len(mine))


def _use(cores: frozenset[int], threads: int) -> None:
    """First fewer threads, then their cores. Nothing is done when it is so already."""
    global _now
    torch_is_there = "torch" in sys.modules
    if _now == (cores, threads, torch_is_there):
        return
    prepare_threads(threads)
    if cores != _cores() or _now is not None:
        _pin(cores)
    _now = (cores, threads, torch_is_there)


def _cores() -> frozenset[int]:
    """All cores that this process had at first."""
    global _whole
    if not _whole:
        has_affinity = hasattr(os, "sched_getaffinity")
        _whole = frozenset(os.sched_getaffinity(0) if has_affinity else range(os.cpu_count() or 1))
    return _whole


def _pin(cores: frozenset[int]) -> None:
    """Every thread of this process: a thread keeps its own cores, whatever the first thread is told."""
    if not hasattr(os, "sched_setaffinity"):
        return
    tasks = Path("/proc/self/task")
    threads = [int(entry.name) for entry in tasks.iterdir()] if tasks.exists() else [0]
    for thread in threads:
        try:
            os.sched_setaffinity(thread, cores)
        except (ProcessLookupError, PermissionError):
            continue


def _set_torch_threads(count: int) -> None:
    """Only where torch is there already: nothing is imported for this."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(max(1, count))
