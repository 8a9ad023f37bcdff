"""CPU cores and threads of each process. PyTorch processes that compete for cores lose most of their speed, so each
gets its own.

A run alone uses all cores. While a model host answers, the run gives up one core and the host is pinned to it. Where a
process can't be pinned (outside Linux), the functions only reduce the number of threads.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

_own_cores: frozenset[int] = frozenset()
"""The cores that this process could use at its start. Empty until they were read."""
_current: tuple[frozenset[int], int, bool] | None = None
"""Cores and threads as set last by this module, and whether PyTorch was loaded then."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def prepare_threads(count: int) -> None:
    """Limit the threads of this process. Call it before torch is imported, since torch sizes its thread pool then."""
    for name in THREAD_VARIABLES:
        os.environ[name] = str(max(1, count))
    _set_torch_threads(count)


def give_up_core(threads: int = 0) -> bool:
    """Give the last core to a model host. Returns False when there is only one core.

    `threads` is the number of threads of this process; 0 means one for each core. Call it between two steps.
    """
    cores = _cores()
    if len(cores) < 2:
        return False
    _use(cores - {max(cores)}, min(threads or len(cores), len(cores) - 1))
    return True


def take_back(threads: int = 0) -> None:
    """Take the core back when the model host is idle."""
    _use(_cores(), threads or len(_cores()))


def use_one_core() -> None:
    """For a model host while a run trains: one thread on the core that the run gave up. Repeated calls are cheap."""
    pin_to_core(max(_cores()))


def use_all_cores() -> None:
    """For a model host while no run trains: all cores."""
    _use(_cores(), len(_cores()))


def leave_a_core() -> None:
    """For a model host of a public demo: leave one core to the server."""
    _use(_cores(), max(1, len(_cores()) - 1))


def pin_to_core(core: int) -> None:
    """Use one thread on one core. If the core is not one of ours, use all cores."""
    _use(frozenset({core}) & _cores() or _cores(), 1)


def use_share(cores: Sequence[int], number: int, processes: int, threads: int = 0) -> None:
    """For one of several processes of a run: use its own share of the cores.

    With more processes than cores, some share a core. `threads` is the total for all processes; 0 means one for each
    core.
    """
    begin, end = (len(cores) * each // processes for each in (number, number + 1))
    mine = frozenset(cores[begin:end] or [cores[number % len(cores)]])
    _use(mine & _cores() or _cores(), min(len(mine), max(1, threads // processes)) if threads else len(mine))


def _use(cores: frozenset[int], threads: int) -> None:
    """Reduce the threads first, then set their cores. Does nothing when both are set already."""
    global _current
    torch_loaded = "torch" in sys.modules
    if _current == (cores, threads, torch_loaded):
        return
    prepare_threads(threads)
    if cores != _cores() or _current is not None:
        _pin(cores)
    _current = (cores, threads, torch_loaded)


def _cores() -> frozenset[int]:
    """All cores that this process could use at its start."""
    global _own_cores
    if not _own_cores:
        has_affinity = hasattr(os, "sched_getaffinity")
        _own_cores = frozenset(os.sched_getaffinity(0) if has_affinity else range(os.cpu_count() or 1))
    return _own_cores


def _pin(cores: frozenset[int]) -> None:
    """Pin every thread of this process, since each thread has its own set of cores."""
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
    """Set the threads of torch if it is imported. Never imports it."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "set_num_threads"):
        torch.set_num_threads(max(1, count))
