"""A run's folder as a self-contained unit: its description, and the import of folders from elsewhere.

`run.json` holds the state of the run, `config.yaml` the request, `events.jsonl` all events. With them, a folder that
was copied to another home, or whose database was lost, is listed again with its curve.
"""

import json
import os
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from studio.schema.errors import StudioError
from studio.schema.events import EVENT, AnyEvent, StateEvent
from studio.schema.runs import RunRecord, RunSpec
from studio.store.db import Database, now
from studio.store.events import insert_event
from studio.store.files import no_room, read_json, write_whole

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{9,63}")
"""Pattern of a run folder's name."""
ENDED: frozenset[str] = frozenset({"finished", "stopped", "interrupted", "failed"})
TAIL = 2**16
"""Bytes to read from the end of an event file at first. The number doubles until a whole line is found."""
LEFT_OVER = 24 * 3600
"""Age in seconds after which a partly made folder is considered abandoned."""
NOT_IMPORTED = {"id", "task", "model", "method", "dataset", "dataset_version", "stop_wish", "has_result"}
"""Fields of a run's record that its settings or its folder tell, and the request to stop."""
COPIED_WHILE_RUNNING = (
    "It was copied here while it was training. Resume continues from its last checkpoint, if there is one."
)


def describe(db: Database, folder: Path, record: RunRecord, more: dict[str, Any] | None = None) -> None:
    """Write run.json, and append new events to events.jsonl. `more` holds what only a worker knows: base model and
    dataset."""
    path = folder / "run.json"
    described = {**read_json(path), **(more or {}), "run": record.model_dump(mode="json")}
    append_events(db, folder / "events.jsonl", record.id)
    write_whole(path, json.dumps(described, indent=2))


def append_events(db: Database, path: Path, run: str) -> None:
    """Append the events of a run that a file does not hold yet, and sync the file.

    A line that was cut off by a kill or a full disk is removed first. The file is rewritten when its last line is not
    in this database, because the run came from another home or the database was replaced.
    """
    last, size = _last_event(path)
    known = db.row("SELECT time FROM events WHERE run = ? AND id = ?", (run, last.get("id", 0)))
    continues = known is not None and known["time"] == last.get("time")
    after = int(last["id"]) if continues else 0
    rows = db.rows("SELECT id, time, data FROM events WHERE run = ? AND id > ? ORDER BY id", (run, after))
    lines = "".join(f'{{"id":{row["id"]},"time":"{row["time"]}","event":{row["data"]}}}\n' for row in rows)
    if not continues:
        write_whole(path, lines)
        return
    with no_room(path), path.open("r+b") as file:
        file.truncate(size)
        file.seek(size)
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


def _last_event(path: Path) -> tuple[dict[str, Any], int]:
    """The last complete line of an events.jsonl, and the offset of its end. ({}, 0) when there is none."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start, tail, step = end, b"", TAIL
            while start > 0 and tail[: tail.rfind(b"\n")].count(b"\n") < 1:
                start, step = max(0, end - step), 2 * step
                file.seek(start)
                tail = file.read(end - start)
        whole = tail[: tail.rfind(b"\n") + 1]
        last = json.loads(whole.splitlines()[-1]) if whole else {}
        return (last, start + len(whole)) if isinstance(last, dict) and isinstance(last.get("id"), int) else ({}, 0)
    except (OSError, ValueError):
        return {}, 0


def redescribe(folder: Path, record: RunRecord) -> None:
    """Update the run's record in run.json. Events are not changed."""
    path = folder / "run.json"
    if described := read_json(path):
        write_whole(path, json.dumps({**described, "run": record.model_dump(mode="json")}, indent=2))


def unlisted_runs(db: Database, root: Path, bare: bool = False) -> list[str]:
    """Names of run folders that the database does not list. With `bare`, also those that have only settings."""
    if not root.is_dir():
        return []
    known = {row["id"] for row in db.rows("SELECT id FROM runs")}
    named = sorted(each.name for each in root.iterdir() if ID.fullmatch(each.name) and each.name not in known)
    return [
        name
        for name in named
        if (root / name / "config.yaml").is_file() and (bare or (root / name / "run.json").is_file())
    ]


def abandoned_folders(db: Database, root: Path) -> list[Path]:
    """Folders that a killed process left unfinished, old enough that no process fills them any more."""
    if not root.is_dir():
        return []
    known = {row["id"] for row in db.rows("SELECT id FROM runs")}
    half = [
        each
        for each in root.iterdir()
        if each.is_dir()
        and each.name not in known
        and (each.name.startswith(".import-") or not (each / "run.json").exists())
    ]
    return [each for each in half if time.time() - each.stat().st_mtime > LEFT_OVER]


def import_copied_runs(db: Database, root: Path, run: str, own: bool = False, event: AnyEvent | None = None) -> None:
    """List a run folder with its curve. If several processes do it at once, only the first succeeds.

    `own`: the run was listed here before, so its events keep their ids. `event`: an event to append.
    """
    folder = root / run
    spec = read_spec(folder / "config.yaml")
    record = _record(read_json(folder / "run.json").get("run"), run, spec)
    status, reason = record["status"], record["reason"]
    if status not in ENDED:
        status, reason = "interrupted", COPIED_WHILE_RUNNING
    result = any(
        (folder / kind / name).exists() for kind, name in (("adapter", "adapter_config.json"), ("model", "config.json"))
    )
    values = {
        **record,
        "id": run,
        "status": status,
        "reason": reason,
        "spec": spec.model_dump_json(),
        "has_result": int(result),
        "metrics": json.dumps(record["metrics"]),
        "tags": json.dumps(record["tags"]),
        "archived": int(record["archived"]),
    }
    marks = ", ".join("?" * len(values))
    with db.write() as connection:
        made = connection.execute(
            f"INSERT INTO runs ({', '.join(values)}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING",
            list(values.values()),
        )
        if made.rowcount:
            _import_events(connection, folder / "events.jsonl", run, own)
            if status != record["status"]:
                insert_event(connection, run, StateEvent(status=status, message=reason))
            if event:
                insert_event(connection, run, event)


def read_spec(path: Path) -> RunSpec:
    """The request of a run from its config.yaml. Unknown settings are ignored."""
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), Loader=PlainLoader)
        return RunSpec.model_validate(_known(RunSpec, config))
    except (OSError, ValueError, yaml.YAMLError, ValidationError, RecursionError) as error:
        raise StudioError(
            "damaged-run",
            "The run's config.yaml can't be read.",
            given=f"{path.parent.name}/{path.name}",
            hint="It was edited, or another program wrote it. Restore the original file.",
        ) from error


class PlainLoader(yaml.SafeLoader):
    """A YAML loader without anchors, since a few lines with anchors can expand to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not allowed")
        return super().compose_node(parent, index)


def _known(model: Any, values: Any) -> Any:
    """Remove the keys that a pydantic model does not have. Older or newer versions wrote them."""
    if not isinstance(values, dict):
        return values
    kept = {}
    for name, value in values.items():
        if field := model.model_fields.get(name):
            inner = field.annotation
            kept[name] = _known(inner, value) if hasattr(inner, "model_fields") else value
    return kept


def _record(saved: Any, run: str, spec: RunSpec) -> dict[str, Any]:
    """The columns of a run from its run.json, or defaults from its settings."""
    bare = {
        "id": run,
        "name": spec.config.name or run,
        "status": "interrupted",
        "created": now(),
        "task": spec.config.task,
        "model": spec.config.model,
        "method": spec.config.method,
    }
    try:
        known = {key: value for key, value in (saved or {}).items() if key in RunRecord.model_fields}
        record = RunRecord.model_validate({**bare, **known, "id": run})
    except (ValidationError, AttributeError):
        record = RunRecord.model_validate(bare)
    return {**record.model_dump(exclude=NOT_IMPORTED), "seconds": record.seconds or 0.0}


def fill_gaps(db: Database, root: Path) -> None:
    """Restore events that a damaged database has lost, from the folders of the runs that it lists."""
    for row in db.rows("SELECT id FROM runs"):
        with db.write() as connection:
            _import_events(connection, root / row["id"] / "events.jsonl", row["id"], own=True)


def _import_events(connection: sqlite3.Connection, path: Path, run: str, own: bool) -> None:
    """Insert the events of a file in their order. Skips invalid lines, and own events that exist."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for raw in lines:
            try:
                line = json.loads(raw)
                event, time = EVENT.validate_python(line["event"]), str(line["time"])[:40]
                number = int(line["id"]) if own else None
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
            data = event.model_dump_json()
            if number is not None and (taken := _run_of_event(connection, number)):
                if taken == run or _has_event(connection, run, time, data):  # restored before, under another id
                    continue
                number = None
            connection.execute(
                "INSERT INTO events (id, run, time, kind, data) VALUES (?, ?, ?, ?, ?)",
                (number, run, time, event.kind, data),
            )


def _run_of_event(connection: sqlite3.Connection, number: int) -> str:
    """The run of an event. Empty when there is no event with this id."""
    row = connection.execute("SELECT run FROM events WHERE id = ?", (number,)).fetchone()
    return str(row["run"]) if row else ""


def _has_event(connection: sqlite3.Connection, run: str, time: str, data: str) -> bool:
    """Whether a run has an event with this time and content."""
    query = "SELECT 1 FROM events WHERE run = ? AND time = ? AND data = ?"
    return connection.execute(query, (run, time, data)).fetchone() is not None
