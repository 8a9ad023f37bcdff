"""The data library: every dataset with what was made of it; rename, duplicate, export, and find a file again."""

from collections.abc import Callable, Iterator, Sequence
from filecmp import cmp
from pathlib import Path

from studio.data.text_lines import LINES
from studio.schema.dataset import DatasetEntry, DatasetRecord, SplitSpec
from studio.schema.errors import StudioError, named
from studio.services.datasets.row_export import RowsToExport
from studio.services.datasets.row_formats import PARQUET, ROW_FORMATS, RowFormat
from studio.services.datasets.service import Datasets
from studio.services.labeling.labels import Labels
from studio.store.files import folder_size, require_folder, require_room
from studio.store.quota import Quota
from studio.store.split_store import VersionSplit

LONGEST_NAME = 120
"""Maximum characters of a dataset's name."""


class Library:
    """All datasets of a workspace."""

    def __init__(self, datasets: Datasets, labels: Labels) -> None:
        self.datasets, self.labels, self.context = datasets, labels, datasets.context
        self.store = datasets.store

    def entries(self, records: Sequence[DatasetRecord] | None = None) -> list[DatasetEntry]:
        """Datasets with their task, labels, versions and runs. None: all datasets, newest first."""
        runs = self.context.workspace.runs.all()
        in_use = self.context.workspace.runs.datasets_in_use()
        labeled = self.context.workspace.labels.datasets()
        records = self.datasets.all() if records is None else records
        return [
            DatasetEntry(
                **dict(record),
                task=self._task(record),
                labeled=self._labeled(record) if record.id in labeled else None,
                versions=len(self.store.versions(record.id)),
                runs=tuple(run.name for run in runs if run.dataset == record.id),
                used_by=in_use.get(record.id, ""),
                disk_bytes=folder_size(self.store.root / record.id),
            )
            for record in records
        ]

    def _task(self, record: DatasetRecord) -> str:
        """The saved task, else what the columns suggest. Empty where they do not show it."""
        try:
            return record.spec.task if record.spec else self.datasets.spec(record.id, labels_too=False).task
        except StudioError:
            return ""

    def _labeled(self, record: DatasetRecord) -> int | None:
        """How many rows have a label. None where the columns that were labeled do not exist in this version."""
        try:
            return self.labels.done(record.id)
        except StudioError:
            return None

    def rename(self, dataset: str, name: str) -> DatasetRecord:
        """Change the name of a dataset."""
        return self.store.rename(self.store.get(dataset).id, _valid_name(name))

    def duplicate(self, dataset: str, name: str = "") -> DatasetRecord:
        """A new dataset with the same versions, roles and labels. It counts toward a visitor's disk space."""
        record, workspace = self.store.get(dataset), self.context.workspace
        name = _valid_name(name) if name else f"{record.name[: LONGEST_NAME - 7]} (copy)"
        size = folder_size(self.store.root / record.id)
        require_room(self.store.root, size)
        Quota(workspace).require(size, "This copy")
        Quota(workspace).require_few(versions=len(self.store.versions(record.id)))
        sample = record.source.startswith("sample:")  # the sample itself is opened by its source
        made = self.store.copy(record.id, name=name, **({"source": "file"} if sample else {}))
        workspace.labels.copy(record.id, made.id)
        workspace.drafts.put(f"labelling:{made.id}", workspace.drafts.get(f"labelling:{record.id}"))
        return made

    def lines(self, dataset: str, format: str = "csv", version: int | None = None) -> Iterator[str]:
        """The rows of a version as text, in pieces: csv, jsonl, openai or sharegpt. By default of the current version.

        csv and jsonl have all rows as they are. The other formats have the usable rows, with cleaned values.
        """
        texts = {name: each for name, each in ROW_FORMATS.items() if each.suffix == ".jsonl"}
        if format in texts:
            return self._to_export(dataset, version).lines(texts[format])
        write = named(LINES, format, "format", field="format", code="unknown-format")
        return write(self.datasets.table(dataset, version))

    def export_file(self, dataset: str, to: Path | str, version: int | None = None, format: str = "") -> int:
        """Write the rows to a file, or to a folder for the Hub. Returns how many.

        `format` is csv, jsonl, openai, sharegpt, parquet or hub. By default, the end of the file's name decides.
        """
        record, to = self.store.get(dataset, version), Path(to)
        self.context.owner_only("Writing to a folder of this machine")
        format = format or to.suffix.lower().lstrip(".") or to.name
        if format in ROW_FORMATS:
            require_folder(to.parent, "to")
            return self._to_export(dataset, version).write(ROW_FORMATS[format], to)
        if format not in LINES:
            named({**LINES, **ROW_FORMATS}, format, "format", field="format", code="unknown-format")
        lines = self.lines(dataset, format, version)
        require_folder(to.parent, "to")
        with to.open("w", encoding="utf-8", newline="") as out:
            out.writelines(lines)
        return record.rows

    def formats(self, task: str) -> list[RowFormat]:
        """The formats of other tools that can hold rows of a task, without the folder for the Hub."""
        return [each for each in ROW_FORMATS.values() if task in each.tasks and each.suffix]

    def reserve_download(self) -> Callable[[], None]:
        """Take this workspace's place for rows that are being sent. Returns a function that frees it.

        A client that reads slowly keeps rows in memory, or a file on the disk, for hours.

        Raises:
            StudioError `limit-reached`: when a visitor has too many downloads.
        """
        return self.labels.host.place("download")

    def packed(self, dataset: str, folder: Path) -> Path:
        """Write the usable rows of the current version as a Parquet file into a folder."""
        path = folder / "rows.parquet"
        self._to_export(dataset, None).write(PARQUET, path)
        return path

    def _to_export(self, dataset: str, version: int | None) -> RowsToExport:
        record = self.store.get(dataset, version)
        spec = record.spec or self.datasets.spec(dataset)
        return RowsToExport(
            record,
            self.datasets.table(dataset, version),
            spec,
            lambda: VersionSplit(self.store, record, spec, spec.splits or SplitSpec()).cached().splits,
        )

    def find_same(self, files: Sequence[Path]) -> DatasetRecord | None:
        """The dataset that was imported from files with the same content: one with labels, else the newest."""
        sizes = sorted(path.stat().st_size for path in files)
        matching = []
        for record in self.store.all():
            originals = self.store.originals(record.id, 1)
            if originals and sorted(path.stat().st_size for path in originals) == sizes and _same(files, originals):
                matching.append(record)
        labeled = self.context.workspace.labels.datasets()
        return max(matching, key=lambda record: record.id in labeled, default=None)


def _same(files: Sequence[Path], others: Sequence[Path]) -> bool:
    """Whether two lists have files with the same content, in any order."""
    left = list(others)
    for file in files:
        match = next((other for other in left if cmp(file, other, shallow=False)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _valid_name(name: str) -> str:
    """The name as it is saved."""
    kept = "".join(character for character in name if character.isprintable()).strip()
    if not 0 < len(kept) <= LONGEST_NAME:
        raise StudioError(
            "bad-setting",
            "The name of a dataset can't have this length.",
            given=f"{len(kept):,} characters",
            valid=f"1 to {LONGEST_NAME} characters",
            field="name",
        )
    return kept
