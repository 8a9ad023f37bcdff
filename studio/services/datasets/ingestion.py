"""Import of rows: files, folders, pasted text, samples and Hub datasets; versions of datasets."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studio.data.formats import AS_FOUND, Reading, files_in, read, read_many, read_text
from studio.data.limits import NAME, ReadLimits, read_limits
from studio.data.parquet_store import open_parquet, write_parquet
from studio.data.phrases import listed
from studio.data.progress import ProgressCallback, report_progress_to
from studio.data.samples import SAMPLES, sample_named, sample_path
from studio.data.split_names import split_column_of
from studio.data.table import Table
from studio.data.values import full_text
from studio.machine.facts import memory_available
from studio.machine.locks import alone
from studio.models.sources.hub import HUB_NAME
from studio.schema.dataset import DatasetRecord, DatasetSpec
from studio.schema.errors import StudioError, invalid_value, raise_all
from studio.schema.views import HubDataset, SampleView
from studio.services.context import Context
from studio.services.datasets.hub_rows import HubRows
from studio.store.datasets import ROWS
from studio.store.db import now
from studio.store.files import require_room
from studio.store.quota import Quota

KEPT_BAD_LINES = 100
CELL = 2000
"""Maximum characters of a cell on a page of rows."""
PASTED = "pasted rows"
_WORDS = {
    "delimiter": "delimiter {value}",
    "encoding": "encoding {value}",
    "sheet": "sheet {value}",
    "pieces": "rows by {value}",
    "hub_config": "config {value}",
    "hub_split": "split {value}",
    "row_limit": "maximum rows of each split {value}",
}
_DELIMITERS = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar", " ": "space"}


@dataclass(frozen=True)
class Source:
    """Where rows came from, and how they were read."""

    name: str
    kind: str
    """As in `DatasetRecord.source`."""
    how: Reading = AS_FOUND
    files: Mapping[str, Path] = field(default_factory=dict)
    """The original files, name → path."""
    text: str = ""
    """The text that was pasted."""
    notes: Sequence[str] = ()
    """Sentences about the source."""


def import_options(options: Mapping[str, Any]) -> Reading:
    """How files are read, from fields of `Reading`.

    Raises:
        StudioError: `unknown-setting` or `bad-setting`.
    """
    raise_all(
        [
            StudioError(
                "unknown-setting",
                f"{name} is not an option for reading files.",
                valid=list(Reading.model_fields),
                field=name,
            )
            for name in options
            if name not in Reading.model_fields
        ]
    )
    try:
        return Reading(**options)
    except ValidationError as error:
        raise invalid_value(error, "A file can't be read with this {name}.") from error


class Ingestion:
    """Imports datasets into a workspace and writes their versions."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.store = context.workspace.datasets
        self._quota = Quota(context.workspace)

    @property
    def read_limits(self) -> ReadLimits:
        """The limits for one dataset of this workspace."""
        workspace = self.context.workspace
        return read_limits(workspace.limits, workspace.is_visitors, memory_available())

    def add_file(
        self, path: Path | str, name: str = "", *, progress: ProgressCallback | None = None, **options: Any
    ) -> DatasetRecord:
        """Import a file; its rows and the file itself are saved. `options` are fields of `Reading`."""
        how, path = import_options(options), Path(path)
        name = Path(name or path.name).name
        if not path.is_file():
            hint = "Check the name, or choose the file again."
            raise StudioError("unreadable-file", "There is no such file.", given=name, hint=hint)
        with report_progress_to(progress):
            table = read(path, name=name, limits=self.read_limits, how=how)
        return self._keep(table, Source(name, "file", how, {name: path}))

    def add_files(
        self,
        paths: Mapping[str, Path],
        *,
        name: str = "",
        notes: Sequence[str] = (),
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> DatasetRecord:
        """Import several files, name → path, as one dataset. `options` are fields of `Reading`."""
        how = import_options(options)
        name = name or (next(iter(paths)) if len(paths) == 1 else f"{len(paths):,} files")
        with report_progress_to(progress):
            table = read_many(paths, name=name, limits=self.read_limits, how=how, notes=notes)
        return self._keep(table, Source(name, "file", how, paths))

    def add_text(self, text: str, name: str = PASTED, **options: Any) -> DatasetRecord:
        """Import rows pasted as text. `options` are fields of `Reading`."""
        how = import_options(options)
        return self._keep(read_text(text, how, self.read_limits), Source(name, "pasted", how, text=text))

    def add_sample(self, name: str) -> DatasetRecord:
        """Import a sample. The same dataset each time, unless it was changed."""
        sample = sample_named(name)
        for record in self.store.all():
            if record.source == f"sample:{name}" and record.version == 1:
                return record
        path = sample_path(name)
        return self._keep(read(path), Source(sample.file, f"sample:{name}", files={sample.file: path}))

    def open(self, data: str, progress: ProgressCallback | None = None, **options: Any) -> DatasetRecord:
        """DATA of the command line: a dataset's id, `sample:NAME`, `hf:OWNER/NAME`, a file or a folder of files."""
        if data.startswith("sample:"):
            return self.add_sample(data.removeprefix("sample:"))
        if data.startswith("hf:"):
            return self.add_hub(data.removeprefix("hf:"), progress=progress, **options)
        if data.startswith("data-") and not Path(data).exists():
            if import_options(options).chosen:
                return self.reread(data, progress=progress, **options)
            return self.store.get(data)
        self.context.owner_only("Reading a file by its path")
        path = Path(data)
        if path.is_dir():
            files, notes = files_in(path)
            return self.add_files(files, name=path.resolve().name, notes=notes, progress=progress, **options)
        return self.add_file(path, progress=progress, **options)

    def add_hub(self, name: str, *, progress: ProgressCallback | None = None, **options: Any) -> DatasetRecord:
        """Import rows of a dataset on the Hub: OWNER/NAME, or OWNER/NAME:CONFIG:SPLIT."""
        name, how = _hub_name(name, import_options(options))
        with report_progress_to(progress):
            table, notes = self._hub().read(name, how, self.read_limits)
        return self._keep(table, Source(name, f"hf:{name}", how, notes=notes))

    def hub_info(self, name: str) -> HubDataset:
        """What a dataset on the Hub contains, before any row is fetched."""
        return self._hub().inspect(_hub_name(name, AS_FOUND)[0])

    def _hub(self) -> HubRows:
        self.context.owner_only("A dataset from the Hub")
        return HubRows(self.context.home.hub_token())

    def reread(self, dataset: str, *, progress: ProgressCallback | None = None, **options: Any) -> DatasetRecord:
        """Read a dataset's files with other options: a new version. Options that are not given stay as they were."""
        how, record = import_options(options), self.store.get(dataset)
        how = Reading(**{**record.asked.chosen, **how.named_fields})
        if how == record.asked:
            return record
        if record.source.startswith("hf:"):
            with report_progress_to(progress):
                table, notes = self._hub().read(record.source.removeprefix("hf:"), how, self.read_limits)
            return self._reread(record, table, how, notes)
        first, paths = self._files(dataset)
        with report_progress_to(progress):
            if first.source == "pasted":
                text = next(iter(paths.values())).read_text(encoding="utf-8")
                table = read_text(text, how, self.read_limits)
            elif len(paths) == 1:
                table = read(next(iter(paths.values())), name=next(iter(paths)), limits=self.read_limits, how=how)
            else:
                table = read_many(paths, name=first.name, limits=self.read_limits, how=how)
        return self._reread(record, table, how)

    def _reread(self, record: DatasetRecord, table: Table, how: Reading, notes: Sequence[str] = ()) -> DatasetRecord:
        """The version with other options. Columns that still exist keep their roles."""
        note = " ".join((f"Read again: {_in_words(how)}.", *notes, *table.notes))
        made = self.write(table, record, note, source=Source(record.name, record.source, how, notes=notes))
        kept = record.spec
        if kept is None or not set(kept.roles) <= set(table.columns):
            return made
        return self.store.keep_spec(record.id, made.version, kept.model_copy(update={"label_names": ()}))

    def _files(self, dataset: str) -> tuple[DatasetRecord, dict[str, Path]]:
        """The newest version with original files, and these files: name → path."""
        for record in reversed(self.store.versions(dataset)):
            if paths := self.store.originals(dataset, record.version):
                names = record.files if len(record.files) == len(paths) else [path.name for path in paths]
                return record, dict(zip(names, paths, strict=True))
        raise StudioError(
            "wrong-state",
            "These rows can't be read with other options, because the original file is not saved.",
            given=dataset,
            hint="Import the file again with the options you want.",
        )

    def find(self, name: str) -> DatasetRecord:
        """A dataset by id, by file name (the newest with that name), or `last`."""
        known = self.store.all()
        match = next((each for each in known if name in (each.id, each.name) or name == "last"), None)
        return match or self.store.get(name)

    def samples(self) -> list[SampleView]:
        """The samples that come with the studio."""
        return [
            SampleView(name=s.name, task=s.task, sentence=s.sentence, rows=_sample_rows(s.name), prompts=s.prompts)
            for s in SAMPLES.values()
        ]

    def table(self, dataset: str, version: int | None = None) -> Table:
        """The rows of a version."""
        record = self.store.get(dataset, version)
        return open_parquet(self.store.rows_path(record.id, record.version))

    # --- saving ---

    def _keep(self, table: Table, source: Source) -> DatasetRecord:
        """A new dataset, saved with its original files."""
        size = sum(path.stat().st_size for path in source.files.values()) or len(source.text.encode())
        require_room(self.store.root.parent, 2 * size or 2**20)
        self._quota.require(2 * size or 2**20, "This dataset")
        self._quota.require_few(versions=1)
        self.store.sweep()
        dataset = self.store.new_id()
        with self.store.filling(dataset, 1) as folder:
            self._write_rows(table, folder)
            for number, (given, path) in enumerate(source.files.items(), 1):
                which = f"-{number}" if len(source.files) > 1 else ""
                shutil.copyfile(path, folder / f"original{which}{Path(given).suffix.lower()[:12]}")
            if source.text:
                (folder / "original.txt").write_text(source.text, encoding="utf-8", newline="")
            record = DatasetRecord(
                id=dataset,
                name=source.name,
                version=1,
                note=" ".join(("As imported.", *source.notes, *table.notes)),
                created=now(),
                bytes=size or (folder / ROWS).stat().st_size,
                source=source.kind,
                asked=source.how,
                files=tuple(source.files) or ((source.name,) if source.text else ()),
                **_facts(table, source.notes),
            )
            return self.store.add(record, folder)

    def write(
        self,
        table: Table,
        record: DatasetRecord,
        note: str,
        spec: DatasetSpec | None = None,
        source: Source | None = None,
    ) -> DatasetRecord:
        """The next version of a dataset. `source`: its files were read again; None: it is made from `record`.

        Raises:
            StudioError: `wrong-state` when `record` is no longer the current version. Its change would be lost.
        """
        self._quota.require(record.bytes, "This version")
        self._quota.require_few(versions=1)
        _require_new_columns(table, record, self.read_limits)
        facts = _facts(table, source.notes if source else ())
        if source is None:
            facts |= {"found": record.found, "sheets": record.sheets, "notes": record.notes}
        with self._next_version(record) as version, self.store.filling(record.id, version) as folder:
            self._write_rows(table, folder)
            made = DatasetRecord(
                id=record.id,
                name=record.name,
                version=version,
                note=note,
                created=now(),
                bytes=(folder / ROWS).stat().st_size,
                source=record.source,
                asked=source.how if source else record.asked,
                spec=spec,
                **facts,
            )
            return self.store.add(made, folder)

    @contextmanager
    def _next_version(self, record: DatasetRecord) -> Iterator[int]:
        """The number of the version after the current one, `record`. Other threads and processes wait."""
        with alone(self.store.root / record.id / ROWS):
            if self.store.get(record.id).version != record.version:
                raise StudioError(
                    "wrong-state",
                    "The rows were changed by someone else meanwhile.",
                    given=record.name,
                    hint="Look at the current rows, and try again.",
                )
            yield max(each.version for each in self.store.versions(record.id)) + 1

    def _write_rows(self, table: Table, folder: Path) -> None:
        """Write the rows. Refuse them when the visitor's disk space is used up."""
        write_parquet(table, folder / ROWS, self.read_limits)
        self._quota.require(0, "This dataset")


def _require_new_columns(table: Table, record: DatasetRecord, limits: ReadLimits) -> None:
    """Refuse new columns with too long names, or too many columns. Existing columns are not checked."""
    new = set(table.columns) - set(record.columns)
    if new:
        limits.check_columns("The new version", len(table.columns))
    for name in new:
        if (length := len(name)) > NAME:
            raise StudioError(
                "too-large",
                "The name of a column is too long.",
                given=f"{length:,} characters",
                valid=f"at most {NAME:,} characters",
                hint="Choose a shorter name.",
                field="column",
            )


def _hub_name(name: str, how: Reading) -> tuple[str, Reading]:
    """Split `OWNER/NAME:CONFIG:SPLIT` into the name and the options."""
    name, config, split = [*name.strip().removeprefix("hf:").split(":", 2), "", ""][:3]
    chosen = {"hub_config": config, "hub_split": split}
    chosen = {key: value for key, value in chosen.items() if value}
    if not HUB_NAME.fullmatch(name) or ".." in name:
        raise StudioError(
            "no-such-dataset",
            "This is not a valid name of a dataset on the Hub.",
            given=name,
            hint="Write it as OWNER/NAME, as in the address of its page.",
        )
    return name, how.model_copy(update=chosen)


def _facts(table: Table, notes: Sequence[str] = ()) -> dict[str, object]:
    """Facts about the rows for a record. `notes` are added to those of the table."""
    return {
        "rows": len(table),
        "columns": table.columns,
        "format": table.format,
        "bad_lines": table.bad_lines[:KEPT_BAD_LINES],
        "bad_line_count": len(table.bad_lines),
        "split_column": split_column_of(table),
        "found": table.detected,
        "sheets": table.sheets,
        "notes": (*notes, *table.notes),
    }


def _in_words(how: Reading) -> str:
    """Options in words, for example `delimiter semicolon and no column names in the first line`."""
    words = []
    for name, value in how.chosen.items():
        if name == "header":
            words.append("the first line has the column names" if value else "no column names in the first line")
        else:
            words.append(_WORDS[name].format(value=_DELIMITERS.get(value, value)))
    return listed(words) or "as detected"


@lru_cache
def _sample_rows(name: str) -> int:
    return len(read(sample_path(name)))


def cell_text(value: object) -> str:
    """A cell as text: nested values as JSON, long ones cut."""
    text = full_text(value)
    return text if len(text) <= CELL else text[:CELL] + " …"
