"""Checks made in a process of their own, beside the pass over the rows: on two cores a large file takes half the time.

The process reads the rows by itself, so only files that lie on disk are looked at so. What it is asked and what it
answers goes through pipes; when it can't answer (it was ended, for want of memory say), the same checks are made here.
"""

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from studio.data.checks.base import Context, Seen
from studio.data.checks.near_duplicate import Near, NearDuplicate, one_in
from studio.data.checks.personal_data import PersonalData
from studio.data.checks.wrong_language import WrongLanguage
from studio.schema.dataset import Problem

KINDS = (NearDuplicate.kind, PersonalData.kind, WrongLanguage.kind)
"""About half of the work, and nothing that needs more than the rows."""
MANY = 100_000
"""Rows from which a second process is worth its start."""
_COMMAND = (sys.executable, "-W", "ignore", "-c", "from studio.data.checks.parallel import main; main()")


@dataclass(frozen=True)
class Told:
    """What the process found."""

    problems: Mapping[str, list[Problem]]
    near: Near


Look = Callable[[Context, Collection[str], Collection[int]], Told]
"""Makes some checks without the rows to skip."""


def is_worth_it(context: Context, kinds: Collection[str]) -> bool:
    """Whether the rows are many, another process can read them, and there is a core for it."""
    if not set(KINDS) <= set(kinds):
        return False
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return len(context.table) >= MANY and context.table.source.travels and cores > 1


class Beside:
    """The process at work. It is also who looks for near rows, whatever check of the pass asks."""

    def __init__(self, context: Context, skip: Collection[int], look: Look) -> None:
        self.one_in = one_in(context)
        asked = Context(context.table, context.task, context.roles, whole=context.whole)
        self._here = lambda: look(asked, KINDS, skip)
        self._child = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # it was ended at once: then the checks are made here
            pickle.dump((asked.table, asked.task, dict(asked.roles), asked.whole, tuple(skip)), self._child.stdin)
            self._child.stdin.flush()

    @cached_property
    def told(self) -> Told:
        """Its answer, waited for."""
        answer, _ = self._child.communicate()
        return pickle.loads(answer) if self._child.returncode == 0 else self._here()

    def see(self, seen: Seen) -> None:
        """Nothing: the process sees the row by itself."""

    @property
    def found(self) -> Near:
        """The near rows."""
        return self.told.near

    def end(self) -> None:
        """Nobody waits for it any more."""
        self._child.kill()
        self._child.communicate()


def main() -> None:
    """The process: make the checks that were asked for."""
    from studio.data.checks import look

    gc.disable()  # it ends soon, and what it makes by the million has no cycles
    table, task, roles, whole, skip = pickle.load(sys.stdin.buffer)
    told: Any = look(Context(table, task, roles, whole=whole), KINDS, skip)
    sys.stdout.buffer.write(pickle.dumps(told))
