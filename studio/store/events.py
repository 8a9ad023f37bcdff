"""Events of runs. They are only inserted, and read by `id > after`: the id of the last event read is the cursor."""

import json
import sqlite3
from operator import itemgetter
from typing import Any

from studio.schema.events import EVENT, AnyEvent, StepEvent, StoredEvent
from studio.store.db import Database, now, repeatable


def insert_event(connection: sqlite3.Connection, run: str, event: AnyEvent) -> int:
    """Append an event within the caller's transaction. Returns its id."""
    cursor = connection.execute(
        "INSERT INTO events (run, time, kind, data) VALUES (?, ?, ?, ?)",
        (run, now(), event.kind, event.model_dump_json()),
    )
    return int(cursor.lastrowid or 0)


ENDLESS = 2**62
Short = tuple[int, float | None, float | None]


class EventStore:
    """The append-only event log of a workspace's runs."""

    def __init__(self, db: Database) -> None:
        self.db = db

    @repeatable
    def append(self, run: str, event: AnyEvent) -> int:
        """Append one event and return its id. Step events do not wait for the disk: see `Database.write`."""
        with self.db.write(sync=not isinstance(event, StepEvent)) as connection:
            return insert_event(connection, run, event)

    def after(self, run: str, after: int = 0, limit: int = 100_000, kinds: tuple[str, ...] = ()) -> list[StoredEvent]:
        """Events of a run with an id above `after`, oldest first."""
        rows = self.db.rows(
            f"SELECT id, time, data FROM events WHERE run = ? AND id > ? {_of_kinds(kinds)} ORDER BY id LIMIT ?",
            (run, after, *kinds, limit),
        )
        return [_stored(row) for row in rows]

    def thinned(self, run: str, after: int, most: int) -> list[StoredEvent]:
        """As `after`, but with at most about `most` step events, selected without reading all of them.

        Steps are grouped. Each group keeps its first step, its lowest and highest loss and its largest gradient norm.
        The last step of all is kept, too. If a step was repeated after a resume, the last event counts.
        """
        count = self.db.row(
            "SELECT count(*) AS steps FROM events WHERE run = ? AND kind = 'step' AND id > ?", (run, after)
        )
        steps = int(count["steps"]) if count else 0
        if steps <= most:
            return self.after(run, after, limit=ENDLESS)
        kept = json.dumps(select_curve_steps(self._short(run, after), -(-steps * 4 // most)))
        rows = self.db.rows(
            "SELECT id, time, data FROM events WHERE id IN (SELECT value FROM json_each(?)) "
            "UNION ALL SELECT id, time, data FROM events WHERE run = ? AND id > ? AND kind <> 'step' ORDER BY id",
            (kept, run, after),
        )
        return [_stored(row) for row in rows]

    def _short(self, run: str, after: int) -> list[Short]:
        """(id, loss, gradient norm) of each step, ordered by step. A number that is not finite is None."""
        rows = self.db.rows(
            "SELECT id, json_extract(data, '$.step', '$.loss', '$.grad_norm') AS numbers FROM events "
            "WHERE run = ? AND id > ? AND kind = 'step' ORDER BY id",
            (run, after),
        )
        last_by_step = {}
        for row in rows:
            step, loss, norm = json.loads(row["numbers"])
            last_by_step[step] = row["id"], _number(loss), _number(norm)
        return [last_by_step[step] for step in sorted(last_by_step)]

    def last(self, run: str, kind: str, count: int = 1) -> list[StoredEvent]:
        """The newest events of a kind, oldest first."""
        rows = self.db.rows(
            f"SELECT id, time, data FROM events WHERE run = ? {_of_kinds((kind,))} ORDER BY id DESC LIMIT ?",
            (run, kind, count),
        )
        return [_stored(row) for row in reversed(rows)]


def select_curve_steps(steps: list[Short], stretch: int) -> list[int]:
    """Ids of each group's first step, lowest loss, highest loss and largest gradient norm, and of the last step."""
    kept: set[int] = {steps[-1][0]} if steps else set()
    for start in range(0, len(steps), stretch):
        group = steps[start : start + stretch]
        kept.add(group[0][0])
        for place, choose in ((1, min), (1, max), (2, max)):
            measured = [each for each in group if each[place] is not None]
            if measured:
                kept.add(choose(measured, key=itemgetter(place))[0])
    return sorted(kept)


def _of_kinds(kinds: tuple[str, ...]) -> str:
    """The condition on the kind. Without steps, which are nearly all events, SQLite uses the index that omits them."""
    marks = ",".join("?" * len(kinds))
    listed = f"AND kind IN ({marks})" if kinds else ""
    other = "AND kind <> 'step'" if kinds and "step" not in kinds else ""
    return f"{listed} {other}"


def _number(value: Any) -> float | None:
    """The value if it is a number. Numbers that are not finite are stored as text."""
    return value if isinstance(value, int | float) else None


def _stored(row: sqlite3.Row) -> StoredEvent:
    return StoredEvent(id=row["id"], time=row["time"], event=EVENT.validate_json(row["data"]))
