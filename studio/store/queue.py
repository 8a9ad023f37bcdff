"""Whose turn it is on this machine, across workspaces: workers ask, nobody supervises.

One run is at work at a time. Of those that wait, the workspace whose last turn was longest ago comes first, within a
workspace the order is its owner's; a run that needs more memory than is free lets others pass until it fits. An entry
whose process is gone loses its place at work, and one that waits and hangs is killed: neither blocks the next one.
"""

import signal
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from studio.machine.processes import end_group, identity, lives
from studio.store.db import Database, now
from studio.store.lost import hangs
from studio.store.migrations import QUEUE

Move = Literal["up", "down", "first", "last"]
MOVES: tuple[Move, ...] = ("up", "down", "first", "last")
ABSENT_SECONDS = 30
"""A waiting run that has had no worker for so long is not waited for; it keeps its place for a new one."""
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


class Queue:
    """Entries of runs, and guests: model hosts that answer and want a core for it."""

    def __init__(self, path: Path) -> None:
        self.db = Database(path, QUEUE)

    def ask(self, workspace: str, run: str, memory: int = 0, again: bool = False) -> None:
        """Put a run at the end of the queue; one that waits keeps its place, one whose worker died at work does not.

        `again`: it has ended and is to go on; a worker that has said so and is just leaving has no more part in it.
        """
        with self.db.write() as connection:
            self._forget_dead(connection)
            if again:
                connection.execute("DELETE FROM entries WHERE run = ? AND state = 'running'", (run,))
            connection.execute(
                "INSERT OR IGNORE INTO entries (workspace, run, asked, memory, place) "
                "SELECT ?, ?, ?, ?, coalesce(max(place), 0) + 1 FROM entries",
                (workspace, run, now(), memory),
            )

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
                "INSERT OR REPLACE INTO turns SELECT ?, coalesce(max(turn), 0) + 1 FROM turns", (first["workspace"],)
            )
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
        runs = [row["run"] for row in _in_turn(self.db.connection())]
        return runs.index(run) if run in runs else None

    def entries(self) -> list[tuple[str, str, bool]]:
        """(workspace, run, whether a living worker has it), in the order of their turn."""
        return [(each.workspace, each.run, each.attended) for each in self.listing()]

    def listing(self) -> list[Entry]:
        """All runs in the queue with what is known of them, in the order of their turn."""
        return [
            Entry(row["workspace"], row["run"], lives(row["pid"], row["identity"]), row["state"] == "running",
                  row["memory"], row["free"])
            for row in _in_turn(self.db.connection())
        ]  # fmt: skip

    def unattended(self, seconds: float) -> list[tuple[str, str]]:
        """Waiting entries that no living worker has had for so long; (workspace, run), each told to one asker only."""
        with self.db.write() as connection:
            self._forget_dead(connection)
            # A time that lies ahead was written before the clock was set back.
            rows = connection.execute(
                "SELECT workspace, run FROM entries WHERE pid IS NULL "
                "AND unixepoch() - unixepoch(asked) NOT BETWEEN -1 AND ?",
                (seconds,),
            ).fetchall()
            connection.executemany("UPDATE entries SET asked = ? WHERE run = ?", [(now(), row["run"]) for row in rows])
            return [(row["workspace"], row["run"]) for row in rows]

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
        "SELECT *, unixepoch() - unixepoch(asked) AS age FROM entries ORDER BY state = 'running' DESC, place, id"
    ).fetchall()
    running = [row for row in rows if row["state"] == "running"]
    turns = {row["workspace"]: row["turn"] for row in connection.execute("SELECT * FROM turns").fetchall()}
    return running + fair([row for row in rows if row["state"] != "running"], turns)


def fair(waiting: Sequence[sqlite3.Row], turns: Mapping[str, int]) -> list[sqlite3.Row]:
    """One of each workspace after the other; first the one whose last turn was longest ago, then by who asked first."""
    left: dict[str, list[sqlite3.Row]] = {}
    for row in waiting:
        left.setdefault(row["workspace"], []).append(row)
    last, clock, order = dict(turns), max(turns.values(), default=0), []
    while left:
        workspace = min(left, key=lambda name: (last.get(name, 0), min(row["id"] for row in left[name])))
        order.append(left[workspace].pop(0))
        clock += 1
        last[workspace] = clock
        if not left[workspace]:
            del left[workspace]
    return order


def _fits(row: sqlite3.Row, free: int | None) -> bool:
    return free is None or row["memory"] <= free


def _absent(row: sqlite3.Row) -> bool:
    """No worker has it, and it was asked for long ago (or at a time that the clock has not reached again)."""
    return row["pid"] is None and not -1 <= row["age"] <= ABSENT_SECONDS


def _note_want(connection: sqlite3.Connection, rows: Sequence[sqlite3.Row], run: str, free: int | None) -> None:
    """Write down that a run does not fit, so that the page can say what it waits for; take it back when it does."""
    mine = next((row for row in rows if row["run"] == run), None)
    short = None if mine is None or _fits(mine, free) else free
    if mine is not None and mine["free"] != short:
        connection.execute("UPDATE entries SET free = ? WHERE run = ?", (short, run))
