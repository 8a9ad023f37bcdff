"""Fair scheduling of visitors' work. Page actions and long jobs have separate threads.

Work belongs to a visitor and a network address. Of the waiting visitors, the one served longest ago is next. The work
in progress of a visitor and of an address is limited. So a visitor with slow actions delays others by no more than
a share of the CPU.
"""

import asyncio
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, NamedTuple, TypeVar

from anyio import CapacityLimiter, to_thread

from studio.schema.errors import StudioError
from studio.schema.limits import OWNER, Limits

T = TypeVar("T")
ACTION_THREADS = 12
"""Page actions that are handled at the same time, of all visitors."""
JOB_THREADS = 3
"""Long jobs (reading a file, evaluation, export) that run at the same time, of all visitors of a demo."""
JOBS_PER_ADDRESS = 2
"""Limit for all visitors with one network address, so that a job of another address can always start."""
PER_ADDRESS = 3
"""Visitors whose full share one network address may take: people behind one router share their address."""
WAITING_JOBS = 6
"""Long jobs of one visitor that may wait."""
LOOK_SECONDS = 0.5
"""How often a waiting job looks whether it was cancelled."""
MOST_SERVED = 1_000
"""Addresses whose last turn of a long job is remembered."""


class Visitor(NamedTuple):
    """The owner of some work. Both fields are empty without visitors."""

    workspace: str = ""
    address: str = ""


class ActionScheduler:
    """Runs page actions in threads. All of it happens in the server's event loop, so it needs no lock."""

    def __init__(self, limits: Limits, threads: int = ACTION_THREADS) -> None:
        self._limits, self._threads = limits, threads
        self._waiting: OrderedDict[str, deque[tuple[Visitor, asyncio.Future[None]]]] = OrderedDict()
        """Workspace → its waiting actions; the workspace that was served longest ago first."""
        self._running: Counter[str] = Counter()
        """Actions in progress, by workspace and by address."""
        self._busy = 0
        """Actions in progress, of all visitors."""

    @cached_property
    def _limiter(self) -> CapacityLimiter:
        return CapacityLimiter(self._threads)

    async def run(self, visitor: Visitor, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """What a function returns, called in a thread when it is the visitor's turn.

        Raises:
            StudioError `limit-reached`: when too many actions of the visitor wait.
        """
        await self._turn(visitor)
        try:
            return await to_thread.run_sync(partial(function, *arguments, **named), limiter=self._limiter)
        finally:
            self._end(visitor)

    async def _turn(self, visitor: Visitor) -> None:
        waiting = self._waiting.setdefault(visitor.workspace, deque())
        if self._limits.over("waiting_actions", len(waiting) + 1):
            raise too_many("actions", self._limits.waiting_actions)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append((visitor, turn))
        self._start_next()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # its turn came in the same moment
                self._end(visitor)
            elif (visitor, turn) in waiting:
                waiting.remove((visitor, turn))
            raise

    def _start_next(self) -> None:
        while self._busy < self._threads and (first := self._first()):
            visitor, turn = first
            if not turn.cancelled():
                self._busy += 1
                self._running.update(self._keys(visitor))
                turn.set_result(None)

    def _end(self, visitor: Visitor) -> None:
        self._busy -= 1
        self._running.subtract(self._keys(visitor))
        for key in self._keys(visitor):
            if not self._running[key]:
                del self._running[key]
        self._start_next()

    def _first(self) -> tuple[Visitor, "asyncio.Future[None]"] | None:
        """The next action of the visitor who was served longest ago and may have one more."""
        for workspace, waiting in list(self._waiting.items()):
            if not waiting:
                del self._waiting[workspace]
            elif self._may(waiting[0][0]):
                self._waiting.move_to_end(workspace)
                return waiting.popleft()
        return None

    def _may(self, visitor: Visitor) -> bool:
        most = self._limits.actions_at_once
        return not most or (
            self._running[f"w {visitor.workspace}"] < most
            and (not visitor.address or self._running[f"a {visitor.address}"] < most * PER_ADDRESS)
        )

    def _keys(self, visitor: Visitor) -> list[str]:
        return [f"w {visitor.workspace}", *([f"a {visitor.address}"] if visitor.address else [])]


class JobScheduler:
    """Lets long jobs, each in a thread of its own, start when it is their turn."""

    def __init__(self, limits: Limits = OWNER, address_of: Callable[[str], str] = lambda workspace: "") -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[object, str, str]] = []
        """(ticket, workspace, address or workspace), in the order in which they came."""
        self._running: Counter[str] = Counter()
        """Jobs in progress, by workspace and by address."""
        self._served: OrderedDict[str, None] = OrderedDict()
        """Addresses (or workspaces) whose job began; the one that was served longest ago first."""
        self.set_limits(limits, address_of)

    def set_limits(self, limits: Limits, address_of: Callable[[str], str] = lambda workspace: "") -> None:
        """The limits of the server, once they are known, and which network address a workspace was used from."""
        self._limits, self._address_of = limits, address_of
        self._threads = JOB_THREADS if limits.jobs_at_once else 0

    def require_room(self, workspace: str) -> None:
        """Refuse a further job of a visitor who has enough of them waiting."""
        with self._changed:
            waiting = sum(each == workspace for _, each, _ in self._waiting)
        if self._limits.jobs_at_once and waiting >= WAITING_JOBS:
            raise too_many("long jobs", WAITING_JOBS)

    @contextmanager
    def turn(self, workspace: str, stopped: Callable[[], bool] = lambda: False) -> Iterator[None]:
        """Wait for the turn of a job of a visitor; it counts as running within this. A stopped one waits no longer."""
        owner = self._address_of(workspace) or workspace
        ticket = (object(), workspace, owner)
        keys = [f"w {workspace}", f"a {owner}"]
        with self._changed:
            self._waiting.append(ticket)
            while not stopped() and self._next() is not ticket:
                self._changed.wait(LOOK_SECONDS)
            self._waiting.remove(ticket)
            self._running.update(keys)
            self._served[owner] = None
            self._served.move_to_end(owner)
            while len(self._served) > MOST_SERVED:
                self._served.popitem(last=False)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._running.subtract(keys)
                self._running += Counter()  # without those that have none
                self._changed.notify_all()

    def _next(self) -> tuple[object, str, str] | None:
        """Of the visitors who may have one more, the oldest job of the address that was served longest ago."""
        most = self._limits.jobs_at_once
        if not most:
            return next(iter(self._waiting), None)
        if self._running.total() >= 2 * self._threads:  # each counts for its workspace and for its address
            return None
        turn = {owner: number for number, owner in enumerate(self._served)}
        may = [
            each
            for each in self._waiting
            if self._running[f"w {each[1]}"] < most and self._running[f"a {each[2]}"] < max(most, JOBS_PER_ADDRESS)
        ]
        return min(may, key=lambda each: turn.get(each[2], -1), default=None)


JOB_TURNS = JobScheduler()
"""The long jobs of this server: see jobs.py."""


def too_many(what: str, most: int) -> StudioError:
    """The error when too much work waits."""
    return StudioError(
        "limit-reached",
        f"Too many of your {what} are waiting.",
        valid=f"up to {most} at a time",
        hint="Wait a moment, then try again.",
    )
