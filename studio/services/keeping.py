"""What is done with runs that lie about: named, noted, put aside, packed into one file and taken out of one."""

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from studio.data.kept import open_parquet
from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.runs import ACTIVE, RunRecord
from studio.services.history import checked
from studio.services.run_files import rows_of
from studio.services.runs import Runs
from studio.store.datasets import ROWS as PARQUET
from studio.store.files import folder_size
from studio.store.kept_runs import read_spec
from studio.store.packing import ROWS, no_run, pack, unpack


class Keeping:
    """The runs of a workspace as things that are kept."""

    def __init__(self, runs: Runs) -> None:
        self.runs, self.store = runs, runs.store

    def note(
        self,
        run: str,
        name: str | None = None,
        note: str | None = None,
        tags: Sequence[str] | None = None,
        archived: bool | None = None,
    ) -> RunRecord:
        """Change what a person says of a run; a name that another run has gets a number."""
        record = self.runs.get(run)
        changes = checked(name, note, tags)
        if "name" in changes:
            changes["name"] = self.store.free_name(changes["name"], but=record.id)
        if archived is not None:
            if archived and record.status in ACTIVE:
                raise _at_work(record, "Archive it when it has ended.")
            changes["archived"] = int(archived)
        return self.store.change(record.id, **changes) if changes else record

    def pack(self, run: str, to: Path | None = None, rows: bool = False) -> Path:
        """Write a run as one file; without a place into the run's own folder, to be downloaded. `rows`: what it learned
        from comes along."""
        record = self.runs.get(run)
        if record.status in ACTIVE:
            raise _at_work(record, "Wait for its end, or pause it.")
        folder = self.store.folder(record.id)
        taken = self._rows(record.id) if rows else {}
        self.store.describe(record.id)
        out = to or folder.exports / ("run-with-rows.zip" if rows else "run.zip")
        out.parent.mkdir(parents=True, exist_ok=True)
        pack(folder.root, out, taken)
        return out

    def unpack(self, file: Path) -> RunRecord:
        """Take in a run from a file, under its own id or, when that is taken, under a new one."""
        self.store.sweep()
        staging = self.store.root / f".import-{secrets.token_hex(6)}"
        unpack(file, staging)
        try:
            self._take_in(staging)
            record = self.store.settle(staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        name = self.store.free_name(record.name, but=record.id)
        return record if name == record.name else self.store.change(record.id, name=name)

    def _rows(self, run: str) -> dict[str, tuple[Path, str]]:
        spec = self.store.spec(run)
        self.runs.require_rows(spec)
        datasets = self.runs.context.workspace.datasets
        return {
            f"{dataset}-v{version}": (
                datasets.rows_path(dataset, version), datasets.get(dataset, version).model_dump_json(indent=2)
            )
            for dataset, version in rows_of(spec)
        }  # fmt: skip

    def _take_in(self, staging: Path) -> None:
        """Rows that came along, all of them looked at before one is listed; versions that are here already stay."""
        folder, datasets = staging / ROWS, self.runs.context.workspace.datasets
        asked = rows_of(read_spec(staging / "config.yaml"))
        names = {f"{dataset}-v{version}": (dataset, version) for dataset, version in asked}
        if strange := {path.stem for path in folder.glob("*")} - set(names):
            raise no_run(f"it holds rows that the run did not learn from: {min(strange)}")
        found = [(folder / f"{name}.parquet", record_of(folder / name, *names[name])) for name in names
                 if (folder / f"{name}.parquet").exists()]  # fmt: skip
        for path, record in found:
            if datasets.has(record.id, record.version):
                continue
            newer = datasets.get(record.id).version if datasets.has(record.id) else None
            with datasets.filling(record.id, record.version) as filled:
                shutil.move(path, filled / PARQUET)
                datasets.add(record, filled)
            if newer:
                datasets.go_to(record.id, newer)
        shutil.rmtree(folder, ignore_errors=True)

    def remove_checkpoints(self, run: str) -> RunRecord:
        """Remove what only going on needs; the result, the curve and the log stay."""
        record = self.runs.get(run)
        if record.status in ACTIVE:
            raise _at_work(record, "Wait for its end.")
        shutil.rmtree(self.store.folder(record.id).checkpoints, ignore_errors=True)
        return record

    def parts(self, run: str) -> dict[str, int]:
        """Bytes of what lies in its folder: the result, checkpoints, exports, and all the rest."""
        folder = self.store.folder(self.runs.store.get(run).id)
        parts = {
            "tuned model": folder_size(folder.adapter) + folder_size(folder.model),
            "checkpoints": folder_size(folder.checkpoints),
            "exports": folder_size(folder.exports),
        }
        return {**parts, "curve, log and settings": folder_size(folder.root) - sum(parts.values())}


def record_of(rows: Path, dataset: str, version: int) -> DatasetRecord:
    """What is known of rows that came from elsewhere, checked against them; a refusal when it is not so."""
    try:
        record = DatasetRecord.model_validate_json(rows.with_name(f"{rows.name}.json").read_bytes())
        table = open_parquet(rows.with_name(f"{rows.name}.parquet"))
        told = (record.id, record.version, record.rows, record.columns)
        if told != (dataset, version, sum(1 for _ in table.source.values(1)), tuple(table.columns)):
            raise ValueError("it tells of other rows")
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, StudioError) as error:
        raise no_run("its rows can't be read, or are not what it says of them") from error
    return record


def _at_work(record: RunRecord, hint: str) -> StudioError:
    return StudioError("wrong-state", f"The run {record.name} is at work.", given=record.status, hint=hint)
