"""Runs: their request, state, worker and folder."""

import json
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from studio.machine.disk import sync_folder
from studio.machine.limits import oom_kills
from studio.machine.processes import identity, lives
from studio.schema.errors import StudioError
from studio.schema.events import StateEvent
from studio.schema.runs import ACTIVE, RunRecord, RunSpec, RunStatus, StopWish, WorkerState
from studio.store.datasets import DatasetStore
from studio.store.db import Database, now, repeatable
from studio.store.dead_workers import HANGS, Safe, cause_of, end, failure_reason, heartbeat_when_hung, is_hung
from studio.store.events import insert_event
from studio.store.files import delete_folder, is_unchanging, read_json, write_whole
from studio.store.run_folder import RunFolder
from studio.store.run_folder_import import (
    ID,
    abandoned_folders,
    describe,
    fill_gaps,
    import_copied_runs,
    redescribe,
    unlisted_runs,
)
from studio.store.run_rows import dataset_versions, import_rows_or_advice, link_rows
from studio.store.unreadable_runs import pass_over

WORKING: tuple[RunStatus, ...] = ("starting", "training", "stopping")
"""States in which a worker has started. Waiting runs belong to the queue."""


class RunStore:
    """The runs of a workspace."""

    def __init__(self, db: Database, root: Path) -> None:
        self.db, self.root = db, root
        self.datasets = DatasetStore(db, root.with_name("datasets"))

    def folder(self, run: str) -> RunFolder:
        """The run's folder and the paths in it."""
        return RunFolder(self.root / run)

    def create(self, spec: RunSpec, once: str | None = None, run: str = "") -> RunRecord:
        """Create a run with status `queued`, and its folder, under a reserved or a new id.

        If several calls have the same `once`, only the first creates a run.
        """
        reserved, run = bool(run), run or self.new_id()
        folder = self.folder(run)
        folder.root.mkdir(parents=True, exist_ok=reserved)
        write_whole(folder.config, yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
        with self.db.write() as connection:
            inserted = connection.execute(
                "INSERT INTO runs (id, name, status, spec, created, once) VALUES (?, ?, 'queued', ?, ?, ?) "
                "ON CONFLICT (once) DO NOTHING",
                (run, spec.config.name or run, spec.model_dump_json(), now(), once),
            ).rowcount
            if inserted:
                insert_event(connection, run, StateEvent(status="queued"))
                link_rows(folder.root, spec, self.datasets)
        if not inserted:
            shutil.rmtree(folder.root)
        return self.get(run) if inserted else self.by_request_key(once or "")

    def new_id(self) -> str:
        """A new run id."""
        return f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}"

    def by_request_key(self, once: str) -> RunRecord:
        """The run that was created with this `once`."""
        row = self.db.row("SELECT * FROM runs WHERE once = ?", (once,))
        if row is None:
            raise StudioError("no-such-run", "There is no run with this id.", hint="See all runs with: studio runs")
        return _record(row)

    def get(self, run: str) -> RunRecord:
        """The record of a run. `last` is the newest. Raises `no-such-run`."""
        where, values = ("id = ?", (run,)) if run != "last" else ("1 ORDER BY rowid DESC LIMIT 1", ())
        row = self.db.row(f"SELECT * FROM runs WHERE {where}", values)
        if row is None:
            what = "There is no run yet." if run == "last" else f"There is no run {run}."
            raise StudioError("no-such-run", what, hint="See all runs with: studio runs")
        return _record(row)

    def all(self) -> list[RunRecord]:
        """All runs, newest first, in the order of creation."""
        return [_record(row) for row in self.db.rows("SELECT * FROM runs ORDER BY rowid DESC")]

    def active(self) -> list[RunRecord]:
        """The runs that wait or train, newest first. Fast for any number of runs."""
        marks = ", ".join("?" * len(ACTIVE))
        rows = self.db.rows(f"SELECT * FROM runs WHERE status IN ({marks}) ORDER BY rowid DESC", tuple(ACTIVE))
        return [_record(row) for row in rows]

    def in_state(self, *states: RunStatus) -> list[tuple[str, str]]:
        """(id, time of creation) of the runs with one of these states. Fast for any number of runs."""
        marks = ", ".join("?" * len(states))
        rows = self.db.rows(f"SELECT id, created FROM runs WHERE status IN ({marks})", states)
        return [(row["id"], row["created"]) for row in rows]

    def durations(self, count: int) -> list[tuple[float, float]]:
        """(estimated, actual) seconds of the last finished runs that a worker on this machine has trained in full."""
        rows = self.db.rows(
            "SELECT json_extract(spec, '$.seconds') AS estimated, seconds FROM runs WHERE status = 'finished' "
            "AND pid IS NOT NULL AND seconds > 0 AND step = steps AND estimated > 0 ORDER BY rowid DESC LIMIT ?",
            (count,),
        )
        return [(row["estimated"], row["seconds"]) for row in rows]

    def trained_here(self, model: str, method: str, task: str, count: int) -> list[str]:
        """The last runs of this kind that a worker on this machine has trained, newest first."""
        rows = self.db.rows(
            "SELECT id FROM runs WHERE pid IS NOT NULL AND step > 1 AND json_extract(spec, '$.config.model') = ? "
            "AND json_extract(spec, '$.config.method') = ? AND json_extract(spec, '$.config.task') = ? "
            "ORDER BY rowid DESC LIMIT ?",
            (model, method, task, count),
        )
        return [row["id"] for row in rows]

    def spec(self, run: str) -> RunSpec:
        """The request of a run."""
        row = self.db.row("SELECT spec FROM runs WHERE id = ?", (self.get(run).id,))
        assert row is not None
        return RunSpec.model_validate_json(row["spec"])

    def datasets_in_use(self) -> dict[str, str]:
        """Dataset → the name of a queued or running run that uses its rows."""
        active = self.active()
        return {dataset: run.name for run in active for dataset, _ in dataset_versions(self.spec(run.id))}

    def replace_spec(self, run: str, spec: RunSpec) -> None:
        """Replace the request of a run."""
        path = self.folder(run).config
        write_whole(path, yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
        with self.db.write() as connection:
            connection.execute("UPDATE runs SET spec = ? WHERE id = ?", (spec.model_dump_json(), run))

    def worker(self, run: str) -> WorkerState:
        """The process that works on a run."""
        row = self.db.row("SELECT pid, identity, heartbeat FROM runs WHERE id = ?", (run,))
        return WorkerState(**dict(row)) if row else WorkerState()

    @repeatable
    def set_status(
        self, run: str, status: RunStatus, message: str = "", *, only_from: Collection[str] = (), **changes: Any
    ) -> bool:
        """Change the status and append an event in one transaction. `changes` are other columns of the run.

        With `only_from`, the status changes only from one of these. Returns False when it did not change.
        """
        with self.db.write() as connection:
            row = connection.execute("SELECT status FROM runs WHERE id = ?", (run,)).fetchone()
            if row is None or (only_from and row["status"] not in only_from):
                return False
            self._set_status(connection, run, status, message, changes)
            return True

    @repeatable
    def begin(self, run: str, pid: int) -> bool:
        """A worker starts or restarts a run. Returns False when the run was paused or stopped just before."""
        changes = {
            "pid": pid,
            "identity": identity(pid),
            "heartbeat": now(),
            "beat": time.monotonic(),
            "ended": None,
            "kills": oom_kills(),
            "cause": "",
        }
        with self.db.write() as connection:
            row = connection.execute("SELECT status FROM runs WHERE id = ?", (run,)).fetchone()
            if row is None or row["status"] != "queued":
                return False
            connection.execute("UPDATE runs SET started = coalesce(started, ?) WHERE id = ?", (now(), run))
            self._set_status(connection, run, "starting", "", changes)
            return True

    @repeatable
    def beat(self, run: str, phase: str, step: int, steps: int, seconds: float) -> None:
        """Record a heartbeat and the progress of a worker. `seconds` is the working time so far."""
        with self.db.write(sync=False) as connection:
            connection.execute(
                "UPDATE runs SET phase = ?, step = ?, steps = ?, seconds = ?, heartbeat = ?, beat = ?, kills = ? "
                "WHERE id = ?",
                (phase, step, steps, seconds, now(), time.monotonic(), oom_kills(), run),
            )

    @repeatable
    def update(self, run: str, **changes: Any) -> None:
        """Change columns other than the status: metrics, best_step, has_result, name, tags, note, archived."""
        with self.db.write() as connection:
            _update(connection, run, changes)

    def request_stop(self, run: str, wish: StopWish | None) -> None:
        """Ask the worker to stop. None withdraws the request."""
        self.update(run, stop_wish=wish)

    def stop_wish(self, run: str) -> StopWish | None:
        """What the worker was asked to do."""
        row = self.db.row("SELECT stop_wish FROM runs WHERE id = ?", (run,))
        return row["stop_wish"] if row else "discard"

    def end_hung_workers(self) -> None:
        """End workers that are alive but send no heartbeat. Each has a minute to end after SIGTERM. Call it
        repeatedly."""
        for row in self._active_rows():
            if is_hung(row):
                if row["reason"] != HANGS:
                    changes = {"reason": HANGS, "beat": heartbeat_when_hung()}
                    self.set_status(row["id"], "stopping", HANGS, only_from=WORKING, **changes)
                    row = self._active_rows(row["id"])[0]
                end(row)

    def reconcile(self, safe: Safe | None = None, elsewhere: Collection[str] = ()) -> list[RunRecord]:
        """Mark runs as interrupted whose worker died, and return them. Hung workers are ended first.

        `safe` returns the step from which a run can resume. Runs `elsewhere` have no worker on this machine.
        """
        self.end_hung_workers()
        lost = []
        for row in self._active_rows():
            if row["id"] in elsewhere or lives(row["pid"], row["identity"]):
                continue
            if self._mark_interrupted(row, safe):
                lost.append(self.get(row["id"]))
                if self.folder(row["id"]).record.exists():
                    self.describe(row["id"])
        return lost

    def killed_for_memory(self) -> list[str]:
        """Interrupted runs whose worker was killed because memory ran out, and that were not retried."""
        rows = self.db.rows("SELECT id FROM runs WHERE status = 'interrupted' AND cause = 'memory'")
        return [row["id"] for row in rows]

    def _active_rows(self, run: str = "") -> list[sqlite3.Row]:
        states = "status IN ('starting', 'training', 'stopping')"
        return self.db.rows(f"SELECT * FROM runs WHERE {states} AND (? = '' OR id = ?)", (run, run))

    def _mark_interrupted(self, row: sqlite3.Row, safe: Safe | None) -> bool:
        """Mark a run as interrupted. Returns False when another process was first or the run has a new worker."""
        cause = cause_of(row)
        reason = failure_reason(cause, row, self.folder(row["id"]).checkpoints, safe)
        with self.db.write() as connection:
            current = connection.execute("SELECT status, pid FROM runs WHERE id = ?", (row["id"],)).fetchone()
            if current is None or current["status"] not in WORKING or current["pid"] != row["pid"]:
                return False
            changes = {"reason": reason, "ended": now(), "cause": cause}
            self._set_status(connection, row["id"], "interrupted", reason, changes)
            return True

    def discard_output(self, run: str) -> None:
        """Remove everything that a run has learned. Its settings, curve and log stay."""
        folder = self.folder(run)
        for learned in (folder.checkpoints, folder.adapter, folder.model, folder.exports, folder.predictions):
            shutil.rmtree(learned, ignore_errors=True)
        folder.report.unlink(missing_ok=True)
        self.update(run, has_result=False, best_step=None)

    def forget_earlier_model(self, run: str) -> None:
        """Remove what describes an earlier model of a run: its report, and that it was exported. Exported files stay
        until they are written again."""
        folder = self.folder(run)
        folder.report.unlink(missing_ok=True)
        for export in folder.exports.glob("*.json"):
            export.unlink(missing_ok=True)

    def describe(self, run: str, more: dict[str, Any] | None = None) -> None:
        """Write the run's state and events to its folder. `more` holds what only its worker knows."""
        describe(self.db, self.folder(run).root, self.get(run), more)

    def change(self, run: str, **changes: Any) -> RunRecord:
        """Change what the user wrote about a run, in the database and in its folder."""
        self.update(run, **changes)
        record = self.get(run)
        redescribe(self.folder(run).root, record)
        return record

    def unique_name(self, name: str, except_run: str = "") -> str:
        """The name, with a number appended when another run has it (`except_run` does not count)."""
        names = {row["name"] for row in self.db.rows("SELECT name FROM runs WHERE id != ?", (except_run,))}
        if not name or name not in names:
            return name
        stem = re.sub(r" \d+$", "", name)
        return next(f"{stem} {number}" for number in range(2, len(names) + 3) if f"{stem} {number}" not in names)

    def import_copied_runs(self) -> list[str]:
        """List run folders that were copied here, with their rows. Returns their ids.

        A folder that can't be read is left alone and reported. So are the rows of a listed run that are invalid. A run
        whose name exists gets a number appended.
        """
        imported, damaged = [], []
        for run in unlisted_runs(self.db, self.root):
            # A folder that is still being copied waits, since its missing files would never be imported. Another
            # process may list it meanwhile.
            if not any(is_unchanging(self.folder(run).root) or self._is_listed(run) for _ in range(2)):
                continue
            try:
                advice = import_rows_or_advice(self.folder(run).root, self.datasets)
                import_copied_runs(self.db, self.root, run, event=advice)
                self.update(run, name=self.unique_name(self.get(run).name, except_run=run))
                self.describe(run)
                imported.append(run)
            except StudioError as error:
                damaged += [run] if error.code == "damaged-run" else []
        with suppress(StudioError):  # a full disk must not prevent the listing
            pass_over(self.root.parent, damaged)
        return imported

    def _is_listed(self, run: str) -> bool:
        return self.db.row("SELECT 1 FROM runs WHERE id = ?", (run,)) is not None

    def sweep(self) -> None:
        """Delete abandoned folders."""
        for folder in abandoned_folders(self.db, self.root):
            shutil.rmtree(folder, ignore_errors=True)

    def restore(self) -> None:
        """List again what a damaged database has lost: runs from their folders, and missing events."""
        fill_gaps(self.db, self.root)
        for run in unlisted_runs(self.db, self.root, bare=True):
            with suppress(StudioError):
                import_copied_runs(self.db, self.root, run, own=True)

    def settle(self, staging: Path) -> RunRecord:
        """Move a filled folder among the runs, under its own id or a new one, and list it."""
        run_id = str(read_json(staging / "run.json").get("run", {}).get("id", ""))
        # The queue of the machine knows a run by its id alone, so no other workspace may have it.
        usable = ID.fullmatch(run_id) and not any(self.root.parent.parent.glob(f"*/{self.root.name}/{run_id}"))
        run = run_id if usable and self.db.row("SELECT 1 FROM runs WHERE id = ?", (run_id,)) is None else self.new_id()
        staging.rename(self.folder(run).root)
        sync_folder(self.root)
        import_copied_runs(self.db, self.root, run)
        self.describe(run)
        return self.get(run)

    def delete(self, run: str) -> None:
        """Remove a run, its events and its folder."""
        run = self.get(run).id
        self.folder(run).record.unlink(missing_ok=True)  # so that a partly removed folder is not imported again

        def delete_records() -> None:
            with self.db.write() as connection:
                connection.execute("DELETE FROM runs WHERE id = ?", (run,))

        delete_folder(self.folder(run).root, delete_records)

    def _set_status(
        self, connection: sqlite3.Connection, run: str, status: RunStatus, message: str, changes: dict[str, Any]
    ) -> None:
        _update(connection, run, {"status": status, **changes})
        insert_event(connection, run, StateEvent(status=status, message=message))


def _update(connection: sqlite3.Connection, run: str, changes: dict[str, Any]) -> None:
    values = {key: json.dumps(value) if key in ("metrics", "tags") else value for key, value in changes.items()}
    assignments = ", ".join(f"{key} = ?" for key in values)
    connection.execute(f"UPDATE runs SET {assignments} WHERE id = ?", (*values.values(), run))


def _record(row: sqlite3.Row) -> RunRecord:
    columns = {name: value for name, value in dict(row).items() if name in RunRecord.model_fields}
    read = {"seconds": row["seconds"] or None, "metrics": json.loads(row["metrics"]), "tags": json.loads(row["tags"])}
    return RunRecord(**{**columns, **read, **_requested(row["spec"])})


@lru_cache(maxsize=8192)
def _requested(spec: str) -> Mapping[str, Any]:
    """What a record has of the request. Cached, because lists of runs are read often and a request hardly changes."""
    request = RunSpec.model_validate_json(spec)
    config = {name: getattr(request.config, name) for name in ("task", "model", "method")}
    return MappingProxyType({**config, "dataset": request.dataset, "dataset_version": request.dataset_version})
