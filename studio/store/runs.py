"""Runs: what was asked, where they stand, who is at work, and the folder that describes itself."""

import json
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from studio.machine.disk import sync_folder
from studio.machine.limits import oom_kills
from studio.machine.processes import identity, lives
from studio.schema.errors import StudioError
from studio.schema.events import StateEvent
from studio.schema.runs import RunRecord, RunSpec, RunStatus, StopWish, WorkerState
from studio.store.datasets import DatasetStore
from studio.store.db import Database, now, repeatable
from studio.store.dead_workers import HANGS, Safe, beat_of_one_that_hangs, cause_of, end, hangs, in_words
from studio.store.events import insert_event
from studio.store.files import rid, still, write_whole
from studio.store.run_folder import RunFolder
from studio.store.run_folder_import import (
    ID,
    describe,
    fill_gaps,
    import_copied_runs,
    leavings,
    read_json,
    redescribe,
    strangers,
)
from studio.store.run_rows import link_rows, take_in_or_say
from studio.store.unreadable_runs import pass_over

AT_WORK: tuple[RunStatus, ...] = ("starting", "training", "stopping")
"""States in which a worker has begun; one that waits is the queue's business."""


class RunStore:
    """The runs of a workspace."""

    def __init__(self, db: Database, root: Path) -> None:
        self.db, self.root = db, root
        self.datasets = DatasetStore(db, root.with_name("datasets"))

    def folder(self, run: str) -> RunFolder:
        """The run's folder and the names in it."""
        return RunFolder(self.root / run)

    def create(self, spec: RunSpec, once: str | None = None, run: str = "") -> RunRecord:
        """Make a run and its folder, `queued`, under the id that was set aside for it or a new one.

        Of those that ask with the same `once` only the first makes one.
        """
        set_aside, run = bool(run), run or self.new_id()
        folder = self.folder(run)
        folder.root.mkdir(parents=True, exist_ok=set_aside)
        write_whole(folder.config, yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
        with self.db.write() as connection:
            made = connection.execute(
                "INSERT INTO runs (id, name, status, spec, created, once) VALUES (?, ?, 'queued', ?, ?, ?) "
                "ON CONFLICT (once) DO NOTHING",
                (run, spec.config.name or run, spec.model_dump_json(), now(), once),
            ).rowcount
            if made:
                insert_event(connection, run, StateEvent(status="queued"))
                link_rows(folder.root, spec, self.datasets)
        if not made:
            shutil.rmtree(folder.root)
        return self.get(run) if made else self.asked_once(once or "")

    def new_id(self) -> str:
        """A new run's id."""
        return f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(4)}"

    def asked_once(self, once: str) -> RunRecord:
        """The run that was made for this `once`."""
        row = self.db.row("SELECT * FROM runs WHERE once = ?", (once,))
        if row is None:
            raise StudioError("no-such-run", "There is no such run.", hint="See all runs with: studio runs")
        return _record(row)

    def get(self, run: str) -> RunRecord:
        """One run; `last` is the newest."""
        where, values = ("id = ?", (run,)) if run != "last" else ("1 ORDER BY rowid DESC LIMIT 1", ())
        row = self.db.row(f"SELECT * FROM runs WHERE {where}", values)
        if row is None:
            what = "There is no run yet." if run == "last" else f"There is no run {run}."
            raise StudioError("no-such-run", what, hint="See all runs with: studio runs")
        return _record(row)

    def all(self) -> list[RunRecord]:
        """All runs, newest first: by the order in which they were made, which no change of the clock moves."""
        return [_record(row) for row in self.db.rows("SELECT * FROM runs ORDER BY rowid DESC")]

    def in_state(self, status: RunStatus) -> list[tuple[str, str]]:
        """(id, when it was made) of the runs in a state; quick, whatever the number of runs."""
        rows = self.db.rows("SELECT id, created FROM runs WHERE status = ?", (status,))
        return [(row["id"], row["created"]) for row in rows]

    def spec(self, run: str) -> RunSpec:
        """What was asked of a run."""
        row = self.db.row("SELECT spec FROM runs WHERE id = ?", (self.get(run).id,))
        assert row is not None
        return RunSpec.model_validate_json(row["spec"])

    def replace_spec(self, run: str, spec: RunSpec) -> None:
        """What is asked of a run from now on."""
        path = self.folder(run).config
        write_whole(path, yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
        with self.db.write() as connection:
            connection.execute("UPDATE runs SET spec = ? WHERE id = ?", (spec.model_dump_json(), run))

    def worker(self, run: str) -> WorkerState:
        """Who is at work on it."""
        row = self.db.row("SELECT pid, identity, heartbeat FROM runs WHERE id = ?", (run,))
        return WorkerState(**dict(row)) if row else WorkerState()

    @repeatable
    def set_status(
        self, run: str, status: RunStatus, message: str = "", *, only_from: Collection[str] = (), **changes: Any
    ) -> bool:
        """Change the state, and say so in the same transaction. `changes` are other columns of the run.

        With `only_from` the state changes only from one of these; False says that it did not.
        """
        with self.db.write() as connection:
            row = connection.execute("SELECT status FROM runs WHERE id = ?", (run,)).fetchone()
            if row is None or (only_from and row["status"] not in only_from):
                return False
            self._set_status(connection, run, status, message, changes)
            return True

    @repeatable
    def begin(self, run: str, pid: int) -> bool:
        """A worker starts (again) on a run; False when it was paused or stopped just before."""
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
        """The training loop lives, and stands here. `seconds` is time at work so far."""
        with self.db.write(sync=False) as connection:
            connection.execute(
                "UPDATE runs SET phase = ?, step = ?, steps = ?, seconds = ?, heartbeat = ?, beat = ?, kills = ? "
                "WHERE id = ?",
                (phase, step, steps, seconds, now(), time.monotonic(), oom_kills(), run),
            )

    @repeatable
    def update(self, run: str, **changes: Any) -> None:
        """Change columns that are no state: metrics, best_step, has_result, name, tags, note, archived."""
        with self.db.write() as connection:
            _update(connection, run, changes)

    def request_stop(self, run: str, wish: StopWish | None) -> None:
        """Ask the worker to stop (None takes the wish back)."""
        self.update(run, stop_wish=wish)

    def stop_wish(self, run: str) -> StopWish | None:
        """What the worker was asked."""
        row = self.db.row("SELECT stop_wish FROM runs WHERE id = ?", (run,))
        return row["stop_wish"] if row else "discard"

    def end_hanging(self) -> None:
        """End workers that live and say nothing any more; each has a minute to obey SIGTERM. To be asked again."""
        for row in self._at_work():
            if hangs(row):
                if row["reason"] != HANGS:
                    found = {"reason": HANGS, "beat": beat_of_one_that_hangs()}
                    self.set_status(row["id"], "stopping", HANGS, only_from=AT_WORK, **found)
                    row = self._at_work(row["id"])[0]
                end(row)

    def reconcile(self, safe: Safe | None = None) -> list[RunRecord]:
        """Mark runs whose worker is gone without a last word as interrupted; those runs. One that hangs is ended first.

        `safe` tells from which step a run can go on.
        """
        self.end_hanging()
        lost = []
        for row in self._at_work():
            if not lives(row["pid"], row["identity"]) and self._mark(row, safe):
                lost.append(self.get(row["id"]))
                if self.folder(row["id"]).record.exists():
                    self.describe(row["id"])
        return lost

    def lost_for_memory(self) -> list[str]:
        """Interrupted runs whose worker the system ended for want of memory, and that were not tried again."""
        rows = self.db.rows("SELECT id FROM runs WHERE status = 'interrupted' AND cause = 'memory'")
        return [row["id"] for row in rows]

    def _at_work(self, run: str = "") -> list[sqlite3.Row]:
        states = "status IN ('starting', 'training', 'stopping')"
        return self.db.rows(f"SELECT * FROM runs WHERE {states} AND (? = '' OR id = ?)", (run, run))

    def _mark(self, row: sqlite3.Row, safe: Safe | None) -> bool:
        """Call a run interrupted; False when another one was first, or it has a new worker."""
        cause = cause_of(row)
        reason = in_words(cause, row, self.folder(row["id"]).checkpoints, safe)
        with self.db.write() as connection:
            still = connection.execute("SELECT status, pid FROM runs WHERE id = ?", (row["id"],)).fetchone()
            if still is None or still["status"] not in AT_WORK or still["pid"] != row["pid"]:
                return False
            changes = {"reason": reason, "ended": now(), "cause": cause}
            self._set_status(connection, row["id"], "interrupted", reason, changes)
            return True

    def discard_output(self, run: str) -> None:
        """Remove all that a run has learned; its settings, curve and log stay."""
        folder = self.folder(run)
        for learned in (folder.checkpoints, folder.adapter, folder.model, folder.exports):
            shutil.rmtree(learned, ignore_errors=True)
        folder.report.unlink(missing_ok=True)
        self.update(run, has_result=False, best_step=None)

    def describe(self, run: str, more: dict[str, Any] | None = None) -> None:
        """Write down in its folder how a run stands and what it said; `more` is what only its worker knows."""
        describe(self.db, self.folder(run).root, self.get(run), more)

    def change(self, run: str, **changes: Any) -> RunRecord:
        """Change what a person says of a run, here and in its folder."""
        self.update(run, **changes)
        record = self.get(run)
        redescribe(self.db, self.folder(run).root, record)
        return record

    def free_name(self, name: str, but: str = "") -> str:
        """The name, with a number behind it when another run (`but` this one) has it."""
        taken = {row["name"] for row in self.db.rows("SELECT name FROM runs WHERE id != ?", (but,))}
        if not name or name not in taken:
            return name
        stem = re.sub(r" \d+$", "", name)
        return next(f"{stem} {number}" for number in range(2, len(taken) + 3) if f"{stem} {number}" not in taken)

    def import_copied_runs(self) -> list[str]:
        """List the folders that were copied here, and the rows in them; their ids. One that can't be read is left
        alone, and told; so is it, of a run that is listed, when its rows can't be.

        One that has the name of a run that is here gets a number behind it.
        """
        found, damaged = [], []
        for run in strangers(self.db, self.root):
            # One that is being copied waits: what is not there yet would never be looked for. Another may list it now.
            if not any(still(self.folder(run).root) or self._is_listed(run) for _ in range(2)):
                continue
            try:
                said = take_in_or_say(self.folder(run).root, self.datasets)
                import_copied_runs(self.db, self.root, run, said=said)
                self.update(run, name=self.free_name(self.get(run).name, but=run))
                self.describe(run)
                found.append(run)
            except StudioError as error:
                damaged += [run] if error.code == "damaged-run" else []
        with suppress(StudioError):  # a full disk is no reason to list nothing
            pass_over(self.root.parent, damaged)
        return found

    def _is_listed(self, run: str) -> bool:
        return self.db.row("SELECT 1 FROM runs WHERE id = ?", (run,)) is not None

    def sweep(self) -> None:
        """Remove what was left half made."""
        for folder in leavings(self.db, self.root):
            shutil.rmtree(folder, ignore_errors=True)

    def restore(self) -> None:
        """List again what a damaged database has lost: runs from their folders, and missing parts of curves."""
        fill_gaps(self.db, self.root)
        for run in strangers(self.db, self.root, bare=True):
            with suppress(StudioError):
                import_copied_runs(self.db, self.root, run, own=True)

    def settle(self, staging: Path) -> RunRecord:
        """Give a filled folder its place among the runs, under the id that it says or a new one, and list it."""
        wanted = str(read_json(staging / "run.json").get("run", {}).get("id", ""))
        free = ID.fullmatch(wanted) and not self.folder(wanted).root.exists()
        run = wanted if free and self.db.row("SELECT 1 FROM runs WHERE id = ?", (wanted,)) is None else self.new_id()
        staging.rename(self.folder(run).root)
        sync_folder(self.root)
        import_copied_runs(self.db, self.root, run)
        self.describe(run)
        return self.get(run)

    def delete(self, run: str) -> None:
        """Remove a run, its events and its folder."""
        run = self.get(run).id
        self.folder(run).record.unlink(missing_ok=True)  # nobody takes a half-removed folder up again

        def forget() -> None:
            with self.db.write() as connection:
                connection.execute("DELETE FROM runs WHERE id = ?", (run,))

        rid(self.folder(run).root, forget)

    def _set_status(
        self, connection: sqlite3.Connection, run: str, status: RunStatus, message: str, changes: dict[str, Any]
    ) -> None:
        _update(connection, run, {"status": status, **changes})
        insert_event(connection, run, StateEvent(status=status, message=message))


def _update(connection: sqlite3.Connection, run: str, changes: dict[str, Any]) -> None:
    allowed = {
        "status",
        "name",
        "reason",
        "stop_wish",
        "phase",
        "step",
        "steps",
        "best_step",
        "has_result",
        "metrics",
        "pid",
        "identity",
        "heartbeat",
        "beat",
        "started",
        "ended",
        "seconds",
        "tags",
        "note",
        "archived",
        "kills",
        "cause",
    }
    if unknown := set(changes) - allowed:
        raise ValueError(f"no such columns: {sorted(unknown)}")
    values = {key: json.dumps(value) if key in ("metrics", "tags") else value for key, value in changes.items()}
    assignments = ", ".join(f"{key} = ?" for key in values)
    connection.execute(f"UPDATE runs SET {assignments} WHERE id = ?", (*values.values(), run))


def _record(row: sqlite3.Row) -> RunRecord:
    spec = RunSpec.model_validate_json(row["spec"])
    kept = {
        key: row[key]
        for key in (
            "id",
            "name",
            "status",
            "created",
            "started",
            "ended",
            "reason",
            "stop_wish",
            "phase",
            "step",
            "steps",
            "best_step",
            "note",
        )
    }
    return RunRecord(
        **kept,
        seconds=row["seconds"] or None,
        has_result=bool(row["has_result"]),
        metrics=json.loads(row["metrics"]),
        tags=tuple(json.loads(row["tags"])),
        archived=bool(row["archived"]),
        task=spec.config.task,
        model=spec.config.model,
        method=spec.config.method,
        dataset=spec.dataset,
        dataset_version=spec.dataset_version,
    )
