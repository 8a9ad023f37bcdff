"""A run's folder as a thing of its own: what describes it, and taking up a folder that came from elsewhere.

`run.json` says how the run stands, `config.yaml` what was asked, `events.jsonl` all that it said: with them a folder
that was copied to another home, or whose database was lost, is listed again with its curve.
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
from studio.store.files import no_room, write_whole

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{9,63}")
"""What a folder of a run may be called."""
ENDED: frozenset[str] = frozenset({"finished", "stopped", "interrupted", "failed"})
TAIL = 2**16
"""Bytes that are read from the end of a file of events at first; twice as many each time that a line is longer."""
LEFT_OVER = 24 * 3600
"""Seconds after which a half-made folder is nobody's any more."""
CAME_HERE = "It came here in the middle of its work. Resume goes on from its last checkpoint, if it has one."


def describe(db: Database, folder: Path, record: RunRecord, more: dict[str, Any] | None = None) -> None:
    """Write run.json anew, and append to events.jsonl what is new. `more` is what only a worker knows: base model and
    dataset."""
    path = folder / "run.json"
    told = {**read_json(path), **(more or {}), "run": record.model_dump(mode="json")}
    append_events(db, folder / "events.jsonl", record.id)
    write_whole(path, json.dumps(told, indent=2))


def append_events(db: Database, path: Path, run: str) -> None:
    """Append the events of a run that a file does not hold yet, and sync it.

    A line that a kill or a full disk cut short is dropped first. A file whose last line is not of this database, since
    the run came from another home or the database was replaced, is written anew.
    """
    last, size = _last_event(path)
    known = db.row("SELECT time FROM events WHERE run = ? AND id = ?", (run, last.get("id", 0)))
    goes_on = known is not None and known["time"] == last.get("time")
    after = int(last["id"]) if goes_on else 0
    rows = db.rows("SELECT id, time, data FROM events WHERE run = ? AND id > ? ORDER BY id", (run, after))
    lines = "".join(f'{{"id":{row["id"]},"time":"{row["time"]}","event":{row["data"]}}}\n' for row in rows)
    if not goes_on:
        write_whole(path, lines)
        return
    with no_room(path), path.open("r+b") as file:
        file.truncate(size)
        file.seek(size)
        file.write(lines.encode())
        file.flush()
        os.fsync(file.fileno())


def _last_event(path: Path) -> tuple[dict[str, Any], int]:
    """The last whole line of an events.jsonl, and the bytes up to its end; nothing when there is none."""
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


def redescribe(db: Database, folder: Path, record: RunRecord) -> None:
    """Write down how a run stands now; its events are as they were."""
    path = folder / "run.json"
    if told := read_json(path):
        write_whole(path, json.dumps({**told, "run": record.model_dump(mode="json")}, indent=2))


def strangers(db: Database, root: Path, bare: bool = False) -> list[str]:
    """Names of run folders that the database does not know; with `bare` those too that have settings alone."""
    if not root.is_dir():
        return []
    known = {row["id"] for row in db.rows("SELECT id FROM runs")}
    named = sorted(each.name for each in root.iterdir() if ID.fullmatch(each.name) and each.name not in known)
    return [
        name
        for name in named
        if (root / name / "config.yaml").is_file() and (bare or (root / name / "run.json").is_file())
    ]


def leavings(db: Database, root: Path) -> list[Path]:
    """Folders that somebody who was killed left half made, long enough ago that nobody fills them any more."""
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


def import_copied_runs(db: Database, root: Path, run: str, own: bool = False, said: AnyEvent | None = None) -> None:
    """List a folder again, with its curve. Of several that do it at once only the first one does.

    `own`: it was listed here before, so that its events have the ids that they had. `said`: what is said of it now.
    """
    folder = root / run
    spec = read_spec(folder / "config.yaml")
    told = _record(read_json(folder / "run.json").get("run"), run, spec)
    status, reason = told["status"], told["reason"]
    if status not in ENDED:
        status, reason = "interrupted", CAME_HERE
    result = any(
        (folder / kind / name).exists() for kind, name in (("adapter", "adapter_config.json"), ("model", "config.json"))
    )
    values = {
        **told,
        "id": run,
        "status": status,
        "reason": reason,
        "spec": spec.model_dump_json(),
        "has_result": int(result),
        "metrics": json.dumps(told["metrics"]),
        "tags": json.dumps(told["tags"]),
        "archived": int(told["archived"]),
    }
    marks = ", ".join("?" * len(values))
    with db.write() as connection:
        made = connection.execute(
            f"INSERT INTO runs ({', '.join(values)}) VALUES ({marks}) ON CONFLICT (id) DO NOTHING",
            list(values.values()),
        )
        if made.rowcount:
            _take_up_events(connection, folder / "events.jsonl", run, own)
            if status != told["status"]:
                insert_event(connection, run, StateEvent(status=status, message=reason))
            if said:
                insert_event(connection, run, said)


def read_spec(path: Path) -> RunSpec:
    """What was asked of a run, from its config.yaml; settings that this studio does not know are left out."""
    try:
        told = yaml.load(path.read_text(encoding="utf-8"), Loader=PlainLoader)
        return RunSpec.model_validate(_known(RunSpec, told))
    except (OSError, ValueError, yaml.YAMLError, ValidationError, RecursionError) as error:
        raise StudioError(
            "damaged-run",
            "The run's config.yaml can't be read.",
            given=f"{path.parent.name}/{path.name}",
            hint="It was changed by hand, or is of another program. Put back the file as the studio wrote it.",
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object; empty when there is none."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


class PlainLoader(yaml.SafeLoader):
    """YAML without anchors, which a few lines can blow up to gigabytes."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


def _known(noun: Any, told: Any) -> Any:
    """Without the keys that a noun does not have: an older or a newer studio wrote them."""
    if not isinstance(told, dict):
        return told
    kept = {}
    for name, value in told.items():
        if field := noun.model_fields.get(name):
            inner = field.annotation
            kept[name] = _known(inner, value) if hasattr(inner, "model_fields") else value
    return kept


def _record(told: Any, run: str, spec: RunSpec) -> dict[str, Any]:
    """What run.json says of how the run stands, or as much as its settings tell."""
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
        known = {key: value for key, value in (told or {}).items() if key in RunRecord.model_fields}
        record = RunRecord.model_validate({**bare, **known, "id": run})
    except (ValidationError, AttributeError):
        record = RunRecord.model_validate(bare)
    columns = (
        "name",
        "status",
        "created",
        "started",
        "ended",
        "reason",
        "phase",
        "step",
        "steps",
        "best_step",
        "metrics",
        "tags",
        "note",
        "archived",
    )
    return {**{name: getattr(record, name) for name in columns}, "seconds": record.seconds or 0.0}


def fill_gaps(db: Database, root: Path) -> None:
    """Events that a damaged database has lost, from the folders of the runs that it still knows."""
    for row in db.rows("SELECT id FROM runs"):
        with db.write() as connection:
            _take_up_events(connection, root / row["id"] / "events.jsonl", row["id"], own=True)


def _take_up_events(connection: sqlite3.Connection, path: Path, run: str, own: bool) -> None:
    """The events of a folder, in their order; a line that is none is left out, and so is an own one that is there."""
    if not path.is_file():
        return
    known = connection.execute("SELECT id, run FROM events").fetchall() if own else []
    there = {row["id"]: row["run"] for row in known}
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                told = json.loads(line)
                event, time = EVENT.validate_python(told["event"]), str(told["time"])[:40]
                number = int(told["id"]) if own else None
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
            if number is not None and there.get(number) == run:
                continue
            connection.execute(
                "INSERT INTO events (id, run, time, kind, data) VALUES (?, ?, ?, ?, ?)",
                (None if number in there else number, run, time, event.kind, event.model_dump_json()),
            )
