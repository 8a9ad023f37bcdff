"""What is done with runs that lie about: named, noted, put aside, packed into one file and taken out of one."""

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from studio.schema.errors import StudioError
from studio.schema.runs import ACTIVE, RunRecord
from studio.services.runs.history import checked
from studio.services.runs.service import Runs
from studio.store.datasets import PACKED
from studio.store.files import folder_size
from studio.store.run_archive import pack, unpack
from studio.store.run_rows import rows_of, take_in


class RunManagement:
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
        out = to or folder.exports / (PACKED if rows else "run.zip")
        out.parent.mkdir(parents=True, exist_ok=True)
        size = folder.bytes - folder_size(folder.checkpoints) - folder_size(folder.exports)
        self.runs.quota.require(size, "The file")
        pack(folder.root, out, taken, self.runs.context.home.root)
        return out

    def unpack(self, file: Path) -> RunRecord:
        """Take in a run from a file, under its own id or, when that is taken, under a new one."""
        self.store.sweep()
        staging = self.store.root / f".import-{secrets.token_hex(6)}"
        unpack(file, staging)
        try:
            take_in(staging, self.runs.context.workspace.datasets)
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
                datasets.rows_path(dataset, version),
                datasets.get(dataset, version).model_dump_json(indent=2),
            )
            for dataset, version in rows_of(spec)
        }

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
        return {**parts, "curve, log and settings": folder.bytes - sum(parts.values())}


def _at_work(record: RunRecord, hint: str) -> StudioError:
    return StudioError("wrong-state", f"The run {record.name} is at work.", given=record.status, hint=hint)
