"""Events are only inserted, and read by `id > after`: the id of the last one seen is the cursor."""

import json
import sqlite3
from operator import itemgetter
from typing import Any

from studio.schema.events import EVENT, AnyEvent, StepEvent, StoredEvent
from studio.store.db import Database, now, repeatable


def insert_event(connection: sqlite3.Connection, run: str, event: AnyEvent) -> int:
    """Append an event within a transaction of the caller's; its id."""
    cursor = connection.execute(
        "INSERT INTO events (run, time, kind, data) VALUES (?, ?, ?, ?)",
        (run, now(), event.kind, event.model_dump_json()),
    )
    return int(cursor.lastrowid or 0)


ENDLESS = 2**62
Short = tuple[int, float | None, float | None]


class EventStore:
    """The append-only record of what runs said."""

    def __init__(self, db: Database) -> None:
        self.db = db

    @repeatable
    def append(self, run: str, event: AnyEvent) -> int:
        """Append one event; its id. The disk is not waited for at each training step: see `Database.write`."""
        with self.db.write(sync=not isinstance(event, StepEvent)) as connection:
            return insert_event(connection, run, event)

    def after(self, run: str, after: int = 0, limit: int = 100_000, kinds: tuple[str, ...] = ()) -> list[StoredEvent]:
        """Events of a run with an id above `after`, oldest first."""
        marks = ",".join("?" * len(kinds))
        wanted = f"AND kind IN ({marks})" if kinds else ""
        rows = self.db.rows(
            f"SELECT id, time, data FROM events WHERE run = ? AND id > ? {wanted} ORDER BY id LIMIT ?",
            (run, after, *kinds, limit),
        )
        return [_stored(row) for row in rows]

    def thinned(self, run: str, after: int, most: int) -> list[StoredEvent]:
        """As `after`, but of more than `most` steps only those that a curve needs, chosen without reading them all.

        The steps are put into stretches; of each its first, its lowest and highest loss and its longest gradient stay,
        and the very last step. Of a step that was done again, after a resume, the last time counts.
        """
        count = self.db.row(
            "SELECT count(*) AS steps FROM events WHERE run = ? AND kind = 'step' AND id > ?", (run, after)
        )
        steps = int(count["steps"]) if count else 0
        if steps <= most:
            return self.after(run, after, limit=ENDLESS)
        kept = json.dumps(telling(self._short(run, after), -(-steps * 4 // most)))
        rows = self.db.rows(
            "SELECT id, time, data FROM events WHERE id IN (SELECT value FROM json_each(?)) "
            "UNION ALL SELECT id, time, data FROM events WHERE run = ? AND id > ? AND kind <> 'step' ORDER BY id",
            (kept, run, after),
        )
        return [_stored(row) for row in rows]

    def _short(self, run: str, after: int) -> list[Short]:
        """Id, loss and gradient of each step, in the order of steps; a number that is none is None."""
        rows = self.db.rows(
            "SELECT id, json_extract(data, '$.step', '$.loss', '$.grad_norm') AS told FROM events "
            "WHERE run = ? AND id > ? AND kind = 'step' ORDER BY id",
            (run, after),
        )
        done = {}
        for row in rows:
            step, loss, norm = json.loads(row["told"])
            done[step] = row["id"], _number(loss), _number(norm)
        return [done[step] for step in sorted(done)]

    def last(self, run: str, kind: str, count: int = 1) -> list[StoredEvent]:
        """The newest events of a kind, oldest of them first."""
        rows = self.db.rows(
            "SELECT id, time, data FROM events WHERE run = ? AND kind = ? ORDER BY id DESC LIMIT ?", (run, kind, count)
        )
        return [_stored(row) for row in reversed(rows)]

    def last_id(self, run: str) -> int:
        """Id of a run's newest event, 0 when there is none."""
        row = self.db.row("SELECT max(id) AS id FROM events WHERE run = ?", (run,))
        return int(row["id"] or 0) if row else 0


def telling(steps: list[Short], stretch: int) -> list[int]:
    """Of each stretch the ids of its first step, its lowest and highest loss and its longest gradient; and the last."""
    kept: set[int] = {steps[-1][0]} if steps else set()
    for start in range(0, len(steps), stretch):
        part = steps[start : start + stretch]
        kept.add(part[0][0])
        for place, choose in ((1, min), (1, max), (2, max)):
            told = [each for each in part if each[place] is not None]
            if told:
                kept.add(choose(told, key=itemgetter(place))[0])
    return sorted(kept)


def _number(told: Any) -> float | None:
    """As it stands in the store, where a number that is none is a word."""
    return told if isinstance(told, int | float) else None


def _stored(row: sqlite3.Row) -> StoredEvent:
    return StoredEvent(id=row["id"], time=row["time"], event=EVENT.validate_json(row["data"]))
