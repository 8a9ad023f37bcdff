"""Management of saved runs: name, note, tags, archive flag; export to one file and import from it."""

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

from studio.schema.errors import StudioError
from studio.schema.runs import ACTIVE, RunRecord
from studio.services.runs.history import valid_annotations
from studio.services.runs.lifecycle import RunLifecycle
from studio.services.runs.run_messages import wrong_state
from studio.store.datasets import PACKED
from studio.store.files import folder_size
from studio.store.run_archive import pack, unpack
from studio.store.run_rows import dataset_versions, import_rows


class RunManagement:
    """The saved runs of a workspace."""

    def __init__(self, runs: RunLifecycle) -> None:
        self.runs, self.store = runs, runs.store

    def annotate(
        self,
        run: str,
        name: str | None = None,
        note: str | None = None,
        tags: Sequence[str] | None = None,
        archived: bool | None = None,
    ) -> RunRecord:
        """Change name, note, tags or archive flag of a run. A name that is taken gets a number."""
        record = self.runs.get(run)
        changes = valid_annotations(name, note, tags)
        if "name" in changes:
            changes["name"] = self.store.unique_name(changes["name"], except_run=record.id)
        if archived is not None:
            if archived and record.status in ACTIVE:
                raise wrong_state(record, "The run {name} is queued or running.", hint="Archive it after it ends.")
            changes["archived"] = int(archived)
        return self.store.change(record.id, **changes) if changes else record

    def export_archive(self, run: str, to: Path | None = None, rows: bool = False) -> Path:
        """Write a run as one zip file; without `to` into the run's own folder. `rows`: with its training data."""
        if to is not None:
            self.runs.context.owner_only("Writing to a file")
        record = self.runs.get(run)
        if record.status in ACTIVE:
            raise wrong_state(record, "The run {name} is queued or running.", hint="Wait until it ends, or pause it.")
        folder = self.store.folder(record.id)
        taken = self._rows(record.id) if rows else {}
        self.store.describe(record.id)
        out = to or folder.exports / (PACKED if rows else "run.zip")
        out.parent.mkdir(parents=True, exist_ok=True)
        size = folder.bytes - folder_size(folder.checkpoints) - folder_size(folder.exports)
        size += sum(path.stat().st_size for path, _ in taken.values())
        self.runs.quota.require(size, "The file")
        pack(folder.root, out, taken, self.runs.context.home.root)
        return out

    def import_archive(self, file: Path) -> RunRecord:
        """Import a run from a file that `export_archive` wrote. Nothing in it is trusted. A taken id is replaced."""
        self.runs.context.owner_only("Importing a run")
        if not file.is_file():
            raise StudioError(
                "unreadable-file", "There is no such file.", given=file, hint="Check its name and its folder."
            )
        self.store.sweep()
        staging = self.store.root / f".import-{secrets.token_hex(6)}"
        unpack(file, staging)
        try:
            import_rows(staging, self.runs.context.workspace.datasets)
            record = self.store.settle(staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        name = self.store.unique_name(record.name, except_run=record.id)
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
            for dataset, version in dataset_versions(spec)
        }

    def remove_checkpoints(self, run: str) -> RunRecord:
        """Remove the checkpoints, which only resuming needs."""
        record = self.runs.get(run)
        if record.status in ACTIVE:
            raise wrong_state(record, "The run {name} is queued or running.", hint="Wait until it ends.")
        shutil.rmtree(self.store.folder(record.id).checkpoints, ignore_errors=True)
        return record

    def size_by_part(self, run: str) -> dict[str, int]:
        """Bytes on disk of a run: the result, checkpoints, exports and the rest."""
        folder = self.store.folder(self.runs.store.get(run).id)
        parts = [
            ("fine-tuned model", folder_size(folder.adapter) + folder_size(folder.model)),
            ("checkpoints", folder_size(folder.checkpoints)),
            ("exports", folder_size(folder.exports)),
            ("predictions", folder_size(folder.predictions)),
        ]
        rest = folder.bytes - sum(used for _, used in parts)
        return dict([*parts, ("curve, log and settings", rest)])
