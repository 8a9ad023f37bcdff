"""The queue of this machine for all workspaces. Workers poll it; there is no supervisor.

One run trains at a time. Turns alternate between owners (a visitor's network address, otherwise the workspace), so an
address gains nothing by opening more workspaces. Within a workspace, its owner sets the order. A run that needs more
memory than is free lets others pass until it fits. Only the next run has a process: `next_to_start` returns it, and a
worker, the server or a command starts it (store/next_worker.py). If a process dies, its entry loses its
turn. A process that waits and hangs is killed. So neither blocks the next run.
"""

import signal
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from studio.machine.processes import end_group, identity, lives
from studio.schema.errors import StudioError
from studio.schema.limits import OWNER, Limits
from studio.store.db import Database, now
from studio.store.dead_workers import is_hung
from studio.store.migrations import QUEUE

Move = Literal["up", "down", "first", "last"]
MOVES: tuple[Move, ...] = ("up", "down", "first", "last")
ABSENT_SECONDS = 30
"""If a run's worker has not appeared this many seconds after its start, others pass the run. It keeps its place."""
CALL_SECONDS = 45
"""After this many seconds without a worker, another one is started."""
TURNS_KEPT = 10_000
"""Number of past turns to remember."""
BEAT_SECONDS = 60.0
"""Minimum seconds between two writes of a waiting worker's heartbeat, since it polls more often."""


class Entry(NamedTuple):
    """A run in the queue."""

    workspace: str
    run: str
    has_worker: bool
    """A live worker has claimed it."""
    running: bool
    memory: int
    """Estimated bytes that it needs. 0 when there is no estimate."""
    free: int | None
    """Free bytes when it last did not fit. None when it fits or was not checked."""
    pid: int | None = None
    """The pid of its live worker."""


class Owner(NamedTuple):
    """Who shares turns and limits."""

    name: str = ""
    """A visitor's network address. Empty: each workspace is its own owner."""
    limits: Limits = OWNER


NO_LIMITS = Owner()


class Queue:
    """Queued runs, and model hosts that are answering and need a core."""

    def __init__(self, path: Path) -> None:
        self.db = Database(path, QUEUE)

    def enqueue(
        self,
        workspace: str,
        run: str,
        memory: int = 0,
        rerun: bool = False,
        owner: Owner = NO_LIMITS,
    ) -> None:
        """Add a run to the end of the queue. A waiting run keeps its place; one whose worker died during training does
        not.

        `rerun`: the run has ended and should continue. A worker that is just ending loses its claim.

        Raises:
            StudioError `limit-reached`: the workspace or the owner has as many runs as the limits allow.
        """
        with self.db.write() as connection:
            self._forget_dead(connection)
            if rerun:
                connection.execute("DELETE FROM entries WHERE run = ? AND state = 'running'", (run,))
            if connection.execute("SELECT 1 FROM entries WHERE run = ?", (run,)).fetchone():
                return
            _require_slot(_in_order(connection), workspace, owner)
            connection.execute(
                "INSERT INTO entries (workspace, run, asked, memory, owner, place) "
                "SELECT ?, ?, ?, ?, ?, coalesce(max(place), 0) + 1 FROM entries",
                (workspace, run, now(), memory, owner.name or workspace),
            )

    def require_place(self, workspace: str, owner: Owner, run: str = "") -> None:
        """Raise the error that `enqueue` would raise. A run that is in the queue already is accepted."""
        rows = self._rows()
        if all(row["run"] != run for row in rows):
            _require_slot(rows, workspace, owner)

    def next_to_start(
        self, free: Callable[[], int], may: Callable[[str], bool] = lambda workspace: True
    ) -> Entry | None:
        """The waiting run that needs a worker now. Only one caller gets each run, and must start its worker.

        It is the next run in turn, or the first that fits while the next run does not fit into memory. `may` tells for
        which workspaces the caller can start workers.
        """
        rows = self._rows()
        if any(row["state"] == "running" and not _has_worker(row) for row in rows):
            with self.db.write() as connection:
                self._forget_dead(connection)
                rows = _in_order(connection)
        if all(row["state"] == "running" for row in rows):
            return None
        trains = any(row["state"] == "running" for row in rows)
        room = None if trains else free()
        if _next_to_start(rows, trains, room) is None:
            return None
        with self.db.write() as connection:
            self._forget_dead(connection)
            rows = _in_order(connection)
            row = _next_to_start(rows, any(row["state"] == "running" for row in rows), room)
            if row is None or not may(row["workspace"]):
                return None
            connection.execute("UPDATE entries SET called = ? WHERE run = ?", (now(), row["run"]))
            return _entry(row)

    def claim(self, run: str, pid: int) -> bool:
        """Claim a run for a worker. Returns False when a live worker has it or it is not in the queue."""
        with self.db.write() as connection:
            row = connection.execute("SELECT pid, identity FROM entries WHERE run = ?", (run,)).fetchone()
            if row is None or (row["pid"] != pid and lives(row["pid"], row["identity"])):
                return False
            connection.execute(
                "UPDATE entries SET pid = ?, identity = ?, beat = ? WHERE run = ?",
                (pid, identity(pid), time.monotonic(), run),
            )
            return True

    def try_start(self, run: str, free: int | None = None) -> bool:
        """Whether a claimed run may start now. If so, it is marked as running in the same transaction.

        `free` is the number of bytes that a run could use now. None when it was not measured.
        """
        with self.db.write() as connection:
            self._forget_dead(connection)
            _record_heartbeat(connection, run)
            rows = _in_order(connection)
            if rows and rows[0]["state"] == "running":
                return bool(rows[0]["run"] == run)
            _record_free_memory(connection, rows, run, free)
            ready = (row for row in rows if _fits(row, free) and not _is_overdue(row))
            first = next(ready, None)
            if first is None or first["run"] != run:
                return False
            connection.execute("UPDATE entries SET state = 'running', free = NULL WHERE run = ?", (run,))
            connection.execute(
                "INSERT OR REPLACE INTO turns SELECT ?, coalesce(max(turn), 0) + 1 FROM turns", (first["owner"],)
            )
            connection.execute("DELETE FROM turns WHERE turn <= (SELECT max(turn) FROM turns) - ?", (TURNS_KEPT,))
            return True

    def remove(self, run: str, pid: int | None = None) -> None:
        """Remove a run from the queue. A worker passes its `pid`, since another worker may have claimed the run by
        now."""
        with self.db.write() as connection:
            connection.execute("DELETE FROM entries WHERE run = ? AND (? IS NULL OR pid = ?)", (run, pid, pid))

    def move(self, run: str, move: Move) -> bool:
        """Move a waiting run among those of its workspace. Returns False when it does not wait."""
        with self.db.write() as connection:
            own = connection.execute(
                "SELECT run, place FROM entries WHERE state = 'waiting' AND workspace = "
                "(SELECT workspace FROM entries WHERE run = ?) ORDER BY place, id",
                (run,),
            ).fetchall()
            runs = [row["run"] for row in own]
            if run not in runs:
                return False
            at = runs.index(run)
            runs.pop(at)
            runs.insert({"up": max(0, at - 1), "down": at + 1, "first": 0, "last": len(runs)}[move], run)
            places = zip((row["place"] for row in own), runs, strict=True)
            connection.executemany("UPDATE entries SET place = ? WHERE run = ?", list(places))
            return True

    def position(self, run: str) -> int | None:
        """The number of runs before this one (0: it is next), None when it is not in the queue."""
        runs = [row["run"] for row in self._rows()]
        return runs.index(run) if run in runs else None

    def entries(self) -> list[tuple[str, str, bool]]:
        """(workspace, run, whether a live worker has it), in the order of their turns."""
        return [(each.workspace, each.run, each.has_worker) for each in self.listing()]

    def listing(self) -> list[Entry]:
        """All queued runs in the order of their turns."""
        return [_entry(row) for row in self._rows()]

    def _rows(self) -> list[sqlite3.Row]:
        return self.db.read(_in_order)

    def remove_workspace(self, workspace: str) -> list[tuple[int, str]]:
        """Remove all runs of a workspace from the queue. Returns pid and identity of their live workers."""
        with self.db.write() as connection:
            rows = connection.execute("SELECT * FROM entries WHERE workspace = ?", (workspace,)).fetchall()
            connection.execute("DELETE FROM entries WHERE workspace = ?", (workspace,))
            return [(row["pid"], row["identity"]) for row in rows if _has_worker(row)]

    def waiting_before(self, run: str) -> int:
        """The number of waiting runs before this one."""
        runs = [row["run"] for row in self._rows() if row["state"] == "waiting"]
        return runs.index(run) if run in runs else 0

    def end_hung_workers(self) -> None:
        """Kill waiting workers that have not polled for long, since others would wait for them forever.

        They have nothing to lose, and their runs keep their places for new workers.
        """
        for row in self.db.rows("SELECT * FROM entries WHERE state = 'waiting'"):
            if is_hung(row):
                end_group(row["pid"], signal.SIGKILL)

    def worker(self, run: str) -> int | None:
        """The pid of the live worker that has claimed a run."""
        row = self.db.row("SELECT pid, identity FROM entries WHERE run = ?", (run,))
        return row["pid"] if row and lives(row["pid"], row["identity"]) else None

    def _forget_dead(self, connection: sqlite3.Connection) -> None:
        """Delete running entries whose process is gone. Waiting ones keep their place for a new worker."""
        for row in connection.execute("SELECT * FROM entries").fetchall():
            if not lives(row["pid"], row["identity"]):
                if row["state"] == "running":
                    connection.execute("DELETE FROM entries WHERE id = ?", (row["id"],))
                elif row["pid"] is not None:
                    connection.execute("UPDATE entries SET pid = NULL, identity = '' WHERE id = ?", (row["id"],))

    def host_started(self, pid: int) -> None:
        """A model host starts to answer and needs a core."""
        with self.db.write() as connection:
            connection.execute("INSERT OR REPLACE INTO guests VALUES (?, ?, ?)", (pid, identity(pid), now()))

    def host_idle(self, pid: int) -> None:
        """A model host is idle."""
        with self.db.write() as connection:
            connection.execute("DELETE FROM guests WHERE pid = ?", (pid,))

    def active_hosts(self) -> int:
        """The number of live model hosts that are answering now."""
        return sum(lives(row["pid"], row["identity"]) for row in self.db.rows("SELECT * FROM guests"))

    def has_running_run(self) -> bool:
        """Whether a live worker trains on this machine now."""
        rows = self.db.rows("SELECT pid, identity FROM entries WHERE state = 'running'")
        return any(lives(row["pid"], row["identity"]) for row in rows)


def _record_heartbeat(connection: sqlite3.Connection, run: str) -> None:
    """Record that a waiting worker is alive. Uses the monotonic clock, which restarts with the machine."""
    now = time.monotonic()
    connection.execute(
        "UPDATE entries SET beat = ? WHERE run = ? AND (beat IS NULL OR beat NOT BETWEEN ? AND ?)",
        (now, run, now - BEAT_SECONDS, now),
    )


def _in_order(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """All entries: the running one, then the waiting ones in the order of their turns."""
    rows = connection.execute(
        "SELECT *, unixepoch() - unixepoch(called) AS age FROM entries ORDER BY state = 'running' DESC, place, id"
    ).fetchall()
    running = [row for row in rows if row["state"] == "running"]
    turns = {row["owner"]: row["turn"] for row in connection.execute("SELECT * FROM turns").fetchall()}
    return running + fair_order([row for row in rows if row["state"] != "running"], turns)


def fair_order(waiting: Sequence[sqlite3.Row], turns: Mapping[str, int]) -> list[sqlite3.Row]:
    """Alternate between owners. The owner whose last turn was longest ago comes first, then the earlier request."""
    remaining: dict[str, list[sqlite3.Row]] = {}
    for row in waiting:
        remaining.setdefault(row["owner"], []).append(row)
    last_turn, clock, order = dict(turns), max(turns.values(), default=0), []
    while remaining:
        owner = min(remaining, key=lambda name: (last_turn.get(name, 0), min(row["id"] for row in remaining[name])))
        order.append(remaining[owner].pop(0))
        clock += 1
        last_turn[owner] = clock
        if not remaining[owner]:
            del remaining[owner]
    return order


def _require_slot(rows: Sequence[sqlite3.Row], workspace: str, owner: Owner) -> None:
    """Raise an error when one more run exceeds the limits. The first run of all counts as running."""
    limits = owner.limits
    waiting = sum(row["workspace"] == workspace for row in rows[1:])
    if rows and limits.over("waiting_runs", waiting + 1):
        raise _too_many_runs(
            "This demo allows no more queued runs for you.",
            f"{waiting} queued",
            f"up to {limits.waiting_runs} queued",
        )
    own = sum(row["workspace"] == workspace for row in rows)
    if limits.running_runs and limits.waiting_runs and own >= limits.running_runs + limits.waiting_runs:
        raise _too_many_runs(
            "This demo allows no more runs for you.",
            f"{own} running or queued",
            f"up to {limits.running_runs} running and {limits.waiting_runs} queued",
        )
    together = sum(row["owner"] == (owner.name or workspace) for row in rows)
    if limits.over("runs_per_address", together + 1):
        raise _too_many_runs(
            "This demo allows no more runs from your network address.",
            f"{together} running or queued",
            f"up to {limits.runs_per_address} for all visitors with this address",
        )


def _too_many_runs(what: str, given: str, valid: str) -> StudioError:
    hint = "Wait until a run ends, or stop one of yours."
    return StudioError("limit-reached", what, given=given, valid=valid, hint=hint)


def _next_to_start(rows: Sequence[sqlite3.Row], trains: bool, free: int | None) -> sqlite3.Row | None:
    """The waiting run that needs a worker, or None. While a run trains, only the next one needs a worker, because
    the memory that will be free then is unknown."""
    first = True
    for row in (each for each in rows if each["state"] == "waiting"):
        starting = row["called"] != "" and -1 <= row["age"] <= CALL_SECONDS
        if starting and _is_overdue(row):
            continue
        covered = starting or _has_worker(row)
        if trains or _fits(row, free):
            return None if covered else row
        if first and not covered:
            return row  # its worker waits for memory
        first = False
    return None


def _entry(row: sqlite3.Row) -> Entry:
    has_worker = _has_worker(row)
    return Entry(
        row["workspace"],
        row["run"],
        has_worker,
        row["state"] == "running",
        row["memory"],
        row["free"],
        row["pid"] if has_worker else None,
    )


def _has_worker(row: sqlite3.Row) -> bool:
    return lives(row["pid"], row["identity"])


def _fits(row: sqlite3.Row, free: int | None) -> bool:
    return free is None or row["memory"] <= free


def _is_overdue(row: sqlite3.Row) -> bool:
    """Whether its worker was started long ago and has not claimed it."""
    return row["pid"] is None and row["called"] != "" and not -1 <= row["age"] <= ABSENT_SECONDS


def _record_free_memory(
    connection: sqlite3.Connection, rows: Sequence[sqlite3.Row], run: str, free: int | None
) -> None:
    """Record how much memory was free when a run did not fit, so that the page can show it. Cleared when the run
    fits."""
    own = next((row for row in rows if row["run"] == run), None)
    free_bytes = None if own is None or _fits(own, free) else free
    if own is not None and own["free"] != free_bytes:
        connection.execute("UPDATE entries SET free = ? WHERE run = ?", (free_bytes, run))
