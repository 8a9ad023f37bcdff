"""Some checks run in a second process during the pass over the rows. On two cores, a large file takes half the time.

The process reads the rows itself, so this works only for rows in a file. If the process fails, for example because
memory runs out, the same checks run in this process.
"""

import gc
import os
import pickle
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from threading import Event
from typing import Any

from studio.data.checks.base import Context, RowView
from studio.data.checks.near_duplicate import NearDuplicate, NearDuplicates, one_in
from studio.data.checks.personal_data import PersonalData
from studio.data.checks.wrong_language import WrongLanguage
from studio.machine.run_in_process import run_in_process
from studio.schema.dataset import Problem
from studio.schema.errors import StudioError

KINDS = (NearDuplicate.kind, PersonalData.kind, WrongLanguage.kind)
"""The checks that run in the second process: about half of the work, and they need only the rows."""
MANY = 100_000
"""Rows from which a second process is worth its start."""


@dataclass(frozen=True)
class ParallelResult:
    """The result of the checks in the second process."""

    problems: Mapping[str, list[Problem]]
    near: NearDuplicates


RunChecks = Callable[[Context, Collection[str], Collection[int]], ParallelResult]
"""Runs checks of these kinds on all rows but those to skip."""


def is_worth_it(context: Context, kinds: Collection[str]) -> bool:
    """Return whether there are many rows, another process can read them, and there is a core for it."""
    if not set(KINDS) <= set(kinds):
        return False
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return len(context.table) >= MANY and context.table.source.shareable and cores > 1


class ParallelChecks:
    """The second process. It is also the finder of near duplicates for the checks of the pass."""

    def __init__(self, context: Context, skip: Collection[int], run_checks: RunChecks) -> None:
        self.one_in = one_in(context)
        self._context, self._skip, self._run_checks = context, tuple(skip), run_checks
        self._cancel, self._pool = Event(), ThreadPoolExecutor(1)
        work = (context.table, context.task, dict(context.roles), context.whole, self._skip)
        # A task is an object of a layer above this one, which only pickle finds again.
        arguments = {"work": b64encode(pickle.dumps(work)).decode()}
        self._response = self._pool.submit(run_in_process, run_pickled, arguments, cancel=self._cancel)

    @cached_property
    def output(self) -> ParallelResult:
        """The result of the process, once it has ended."""
        try:
            return pickle.loads(b64decode(self._response.result()))
        except StudioError:
            context = self._context
            bare = Context(context.table, context.task, context.roles, whole=context.whole)
            return self._run_checks(bare, KINDS, self._skip)

    def visit(self, view: RowView) -> None:
        """Do nothing: the process reads the rows itself."""

    @property
    def result(self) -> NearDuplicates:
        """The near duplicates."""
        return self.output.near

    def end(self) -> None:
        """End the process, whether it is done or not."""
        self._cancel.set()
        self._pool.shutdown()


def run_pickled(work: str) -> str:
    """Run the checks in the second process. The argument and the result are pickled, as base64."""
    from studio.data.checks import run_checks

    gc.disable()  # the process ends soon, and the millions of objects that it makes have no cycles
    table, task, roles, whole, skip = pickle.loads(b64decode(work))
    output: Any = run_checks(Context(table, task, roles, whole=whole), KINDS, skip)
    return b64encode(pickle.dumps(output)).decode()
