"""Whose turn it is on this machine, across workspaces: workers ask, there is no supervisor.

One run trains at a time. Turns rotate between owners (a visitor's network address, else the workspace), so that new
workspaces from one address win no turns; within a workspace the order is its owner's. A run that needs more memory than
is free lets others pass until it fits. Only the next run has a process: `call` names the run that needs one, and a
worker, the server or a command that looks starts it (store/next_worker.py). An entry whose process is gone loses its
turn, and a process that waits and hangs is killed: neither blocks the next run.
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
from studio.store.dead_workers import hangs
from studio.store.migrations import QUEUE

Move = Literal["up", "down", "first", "last"]
MOVES: tuple[Move, ...] = ("up", "down", "first", "last")
ABSENT_SECONDS = 30
"""A run whose worker was started so long ago and has not come is passed by others; it keeps its place."""
CALL_SECONDS = 45
"""After so long without its worker, another one is started for it."""
TURNS_KEPT = 10_000
"""Last turns that are remembered."""
BEAT_SECONDS = 60.0
"""A worker that waits asks for its turn more often than is worth a write each time."""


class Entry(NamedTuple):
    """A run in the queue."""

    workspace: str
    run: str
    attended: bool
    """A living worker has it."""
    running: bool
    memory: int
    """Bytes that it is reckoned to need; 0 when nobody reckoned."""
    free: int | None
    """Bytes that were free when it was last found not to fit; None when it fits, or was not looked at."""
    pid: int | None = None
    """Its living worker."""


class Queue:
    """Entries of runs, and guests: model hosts that answer and want a core for it."""

    def __init__(self, path: Path) -> None:
        self.db = Database(path, QUEUE)

    def ask(
        self,
        workspace: str,
        run: str,
        memory: int = 0,
        again: bool = False,
        *,
        owner: str = "",
        limits: Limits = OWNER,
    ) -> None:
        """Put a run at the end of the queue; one that waits keeps its place, one whose worker died at work does not.

        `again`: it has ended and is to go on; a worker that has said so and is just leaving has no more part in it.
        `owner` is who shares turns and limits with others of the same name; without one it is the workspace.

        Raises:
            StudioError `limit-reached`: when the workspace or the owner has as many runs as the limits allow.
        """
        owner = owner or workspace
        with self.db.write() as connection:
            self._forget_dead(connection)
            if again:
                connection.execute("DELETE FROM entries WHERE run = ? AND state = 'running'", (run,))
            if connection.execute("SELECT 1 FROM entries WHERE run = ?", (run,)).fetchone():
                return
            _require_place(_in_turn(connection), workspace, owner, limits)
            connection.execute(
                "INSERT INTO entries (workspace, run, asked, memory, owner, place) "
                "SELECT ?, ?, ?, ?, ?, coalesce(max(place), 0) + 1 FROM entries",
                (workspace, run, now(), memory, owner),
            )

    def require_place(self, workspace: str, owner: str, limits: Limits, run: str = "") -> None:
        """Refuse at once what `ask` would refuse; a run that is in the queue already has its place."""
        rows = self._rows()
        if all(row["run"] != run for row in rows):
            _require_place(rows, workspace, owner or workspace, limits)

    def call(self, free: Callable[[], int], may: Callable[[str], bool] = lambda workspace: True) -> Entry | None:
        """The waiting run that needs a worker now; it is told to one asker only, who starts the worker.

        It is the next one in turn; while that does not fit into the free memory, the first one that does as well.
        `may` says of which workspaces the asker can start workers.
        """
        rows = self._rows()
        if any(row["state"] == "running" and not _attended(row) for row in rows):
            with self.db.write() as connection:
                self._forget_dead(connection)
                rows = _in_turn(connection)
        if all(row["state"] == "running" for row in rows):
            return None
        trains = any(row["state"] == "running" for row in rows)
        room = None if trains else free()
        if _to_call(rows, trains, room) is None:
            return None
        with self.db.write() as connection:
            self._forget_dead(connection)
            rows = _in_turn(connection)
            row = _to_call(rows, any(row["state"] == "running" for row in rows), room)
            if row is None or not may(row["workspace"]):
                return None
            connection.execute("UPDATE entries SET called = ? WHERE run = ?", (now(), row["run"]))
            return _entry(row)

    def claim(self, run: str, pid: int) -> bool:
        """A worker takes a run for itself; False when a living one has it, or when it is not in the queue."""
        with self.db.write() as connection:
            row = connection.execute("SELECT pid, identity FROM entries WHERE run = ?", (run,)).fetchone()
            if row is None or (row["pid"] != pid and lives(row["pid"], row["identity"])):
                return False
            connection.execute(
                "UPDATE entries SET pid = ?, identity = ?, beat = ? WHERE run = ?",
                (pid, identity(pid), time.monotonic(), run),
            )
            return True

    def my_turn(self, run: str, free: int | None = None) -> bool:
        """Whether a claimed run may start now; if so it is marked running in the same transaction.

        `free` is the memory in bytes that a run could take now; None when nobody looked.
        """
        with self.db.write() as connection:
            self._forget_dead(connection)
            _beat(connection, run)
            rows = _in_turn(connection)
            if rows and rows[0]["state"] == "running":
                return bool(rows[0]["run"] == run)
            _note_want(connection, rows, run, free)
            ready = (row for row in rows if _fits(row, free) and not _absent(row))
            first = next(ready, None)
            if first is None or first["run"] != run:
                return False
            connection.execute("UPDATE entries SET state = 'running', free = NULL WHERE run = ?", (run,))
            connection.execute(
                "INSERT OR REPLACE INTO turns SELECT ?, coalesce(max(turn), 0) + 1 FROM turns", (first["owner"],)
            )
            connection.execute("DELETE FROM turns WHERE turn <= (SELECT max(turn) FROM turns) - ?", (TURNS_KEPT,))
            return True

    def leave(self, run: str, pid: int | None = None) -> None:
        """A run is done, stopped or taken out. A worker says its `pid`, since another may have the run by now."""
        with self.db.write() as connection:
            connection.execute("DELETE FROM entries WHERE run = ? AND (? IS NULL OR pid = ?)", (run, pid, pid))

    def move(self, run: str, way: Move) -> bool:
        """Give a waiting run another place among those of its workspace; False when it does not wait."""
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
            runs.insert({"up": max(0, at - 1), "down": at + 1, "first": 0, "last": len(runs)}[way], run)
            places = zip((row["place"] for row in own), runs, strict=True)
            connection.executemany("UPDATE entries SET place = ? WHERE run = ?", list(places))
            return True

    def position(self, run: str) -> int | None:
        """Runs before this one (0: its turn), None when it is not in the queue."""
        with self.db.reading() as connection:
            runs = [row["run"] for row in _in_turn(connection)]
        return runs.index(run) if run in runs else None

    def entries(self) -> list[tuple[str, str, bool]]:
        """(workspace, run, whether a living worker has it), in the order of their turn."""
        return [(each.workspace, each.run, each.attended) for each in self.listing()]

    def listing(self) -> list[Entry]:
        """All runs in the queue with what is known of them, in the order of their turn."""
        return [_entry(row) for row in self._rows()]

    def _rows(self) -> list[sqlite3.Row]:
        with self.db.reading() as connection:
            return _in_turn(connection)

    def of_workspace(self, workspace: str) -> list[Entry]:
        """The runs of a workspace that train or wait, in the order of their turn."""
        return [entry for entry in self.listing() if entry.workspace == workspace]

    def take_out(self, workspace: str) -> list[tuple[int, str]]:
        """Take all runs of a workspace out of the queue; pid and identity of their living workers."""
        with self.db.write() as connection:
            rows = connection.execute("SELECT * FROM entries WHERE workspace = ?", (workspace,)).fetchall()
            connection.execute("DELETE FROM entries WHERE workspace = ?", (workspace,))
            return [(row["pid"], row["identity"]) for row in rows if _attended(row)]

    def waiting_before(self, run: str) -> int:
        """Waiting runs that come before this one."""
        runs = [row["run"] for row in self._rows() if row["state"] == "waiting"]
        return runs.index(run) if run in runs else 0

    def end_hanging(self) -> None:
        """Kill workers that wait and have not asked for their turn for long: others would wait for them for ever.

        They have nothing to lose, and their runs keep their places for new workers.
        """
        for row in self.db.rows("SELECT * FROM entries WHERE state = 'waiting'"):
            if hangs(row):
                end_group(row["pid"], signal.SIGKILL)

    def worker(self, run: str) -> int | None:
        """Pid of the living worker that has claimed a run."""
        row = self.db.row("SELECT pid, identity FROM entries WHERE run = ?", (run,))
        return row["pid"] if row and lives(row["pid"], row["identity"]) else None

    def _forget_dead(self, connection: sqlite3.Connection) -> None:
        """Running entries whose process is gone leave; waiting ones keep their place for a new worker."""
        for row in connection.execute("SELECT * FROM entries").fetchall():
            if not lives(row["pid"], row["identity"]):
                if row["state"] == "running":
                    connection.execute("DELETE FROM entries WHERE id = ?", (row["id"],))
                elif row["pid"] is not None:
                    connection.execute("UPDATE entries SET pid = NULL, identity = '' WHERE id = ?", (row["id"],))

    def guest_comes(self, pid: int) -> None:
        """A model host begins to answer and wants a core."""
        with self.db.write() as connection:
            connection.execute("INSERT OR REPLACE INTO guests VALUES (?, ?, ?)", (pid, identity(pid), now()))

    def guest_goes(self, pid: int) -> None:
        """A model host has fallen idle."""
        with self.db.write() as connection:
            connection.execute("DELETE FROM guests WHERE pid = ?", (pid,))

    def guests(self) -> int:
        """Living model hosts that answer just now."""
        return sum(lives(row["pid"], row["identity"]) for row in self.db.rows("SELECT * FROM guests"))

    def run_at_work(self) -> bool:
        """Whether a living worker trains on this machine just now."""
        rows = self.db.rows("SELECT pid, identity FROM entries WHERE state = 'running'")
        return any(lives(row["pid"], row["identity"]) for row in rows)


def _beat(connection: sqlite3.Connection, run: str) -> None:
    """A worker that waits lives. By the clock of the machine, which begins anew with it."""
    now = time.monotonic()
    connection.execute(
        "UPDATE entries SET beat = ? WHERE run = ? AND (beat IS NULL OR beat NOT BETWEEN ? AND ?)",
        (now, run, now - BEAT_SECONDS, now),
    )


def _in_turn(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    """All entries: the one at work, then the waiting ones as their turns would come."""
    rows = connection.execute(
        "SELECT *, unixepoch() - unixepoch(called) AS age FROM entries ORDER BY state = 'running' DESC, place, id"
    ).fetchall()
    running = [row for row in rows if row["state"] == "running"]
    turns = {row["owner"]: row["turn"] for row in connection.execute("SELECT * FROM turns").fetchall()}
    return running + fair([row for row in rows if row["state"] != "running"], turns)


def fair(waiting: Sequence[sqlite3.Row], turns: Mapping[str, int]) -> list[sqlite3.Row]:
    """One of each owner after the other; first the one whose last turn was longest ago, then by who asked first."""
    left: dict[str, list[sqlite3.Row]] = {}
    for row in waiting:
        left.setdefault(row["owner"], []).append(row)
    last, clock, order = dict(turns), max(turns.values(), default=0), []
    while left:
        owner = min(left, key=lambda name: (last.get(name, 0), min(row["id"] for row in left[name])))
        order.append(left[owner].pop(0))
        clock += 1
        last[owner] = clock
        if not left[owner]:
            del left[owner]
    return order


def _require_place(rows: Sequence[sqlite3.Row], workspace: str, owner: str, limits: Limits) -> None:
    """Refuse one more run. The first of all runs counts as running: it trains, or is about to."""
    waiting = sum(row["workspace"] == workspace for row in rows[1:])
    if rows and limits.over("waiting_runs", waiting + 1):
        raise _too_many_runs(
            "You have as many waiting runs as this demo allows.",
            f"{waiting} waiting",
            f"up to {limits.waiting_runs} waiting",
        )
    own = sum(row["workspace"] == workspace for row in rows)
    if limits.running_runs and limits.waiting_runs and own >= limits.running_runs + limits.waiting_runs:
        raise _too_many_runs(
            "You have as many runs as this demo allows.",
            f"{own} running or waiting",
            f"up to {limits.running_runs} running and {limits.waiting_runs} waiting",
        )
    together = sum(row["owner"] == owner for row in rows)
    if limits.over("runs_per_address", together + 1):
        raise _too_many_runs(
            "Your network address has as many runs as this demo allows.",
            f"{together} running or waiting",
            f"up to {limits.runs_per_address} for all visitors with this address",
        )


def _too_many_runs(what: str, given: str, valid: str) -> StudioError:
    hint = "Wait until a run ends, or stop one of yours."
    return StudioError("limit-reached", what, given=given, valid=valid, hint=hint)


def _to_call(rows: Sequence[sqlite3.Row], trains: bool, free: int | None) -> sqlite3.Row | None:
    """The waiting run that needs a worker; None when the right ones have theirs. While another run trains, only the
    next one needs a worker: what will be free then is not known."""
    first = True
    for row in (each for each in rows if each["state"] == "waiting"):
        coming = row["called"] != "" and -1 <= row["age"] <= CALL_SECONDS
        if coming and _absent(row):
            continue
        taken = coming or _attended(row)
        if trains or _fits(row, free):
            return None if taken else row
        if first and not taken:
            return row  # it watches for memory
        first = False
    return None


def _entry(row: sqlite3.Row) -> Entry:
    attended = _attended(row)
    return Entry(
        row["workspace"],
        row["run"],
        attended,
        row["state"] == "running",
        row["memory"],
        row["free"],
        row["pid"] if attended else None,
    )


def _attended(row: sqlite3.Row) -> bool:
    return lives(row["pid"], row["identity"])


def _fits(row: sqlite3.Row, free: int | None) -> bool:
    return free is None or row["memory"] <= free


def _absent(row: sqlite3.Row) -> bool:
    """Whether its worker was started and has not come for long."""
    return row["pid"] is None and row["called"] != "" and not -1 <= row["age"] <= ABSENT_SECONDS


def _note_want(connection: sqlite3.Connection, rows: Sequence[sqlite3.Row], run: str, free: int | None) -> None:
    """Write down that a run does not fit, so that the page can say what it waits for; take it back when it does."""
    mine = next((row for row in rows if row["run"] == run), None)
    short = None if mine is None or _fits(mine, free) else free
    if mine is not None and mine["free"] != short:
        connection.execute("UPDATE entries SET free = ? WHERE run = ?", (short, run))
