"""The import of a project from a file that `project_archive` writes. Not one byte of it is trusted.

Nothing of the file is opened as a database. Rows, labels and settings are read, checked, and written to a new
database in a folder of its own, which becomes a workspace in the end. Runs are imported as `run_archive` does it.
"""

import json
import re
import shutil
import stat
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import yaml
from pydantic import BaseModel, ValidationError

from studio.machine.disk import sync_tree
from studio.machine.locks import alone
from studio.schema.errors import StudioError
from studio.schema.labeling import Fact
from studio.schema.projects import ExportedDataset, LabelChoices, ProjectManifest, ProjectRecord
from studio.schema.runs import RunSpec
from studio.store.datasets import IN_RUN, ROWS, DatasetStore
from studio.store.db import Database
from studio.store.drafts import DraftStore
from studio.store.files import folder_size, no_room, read_json, require_room, write_whole
from studio.store.home import Home
from studio.store.labels import LabelStore
from studio.store.migrations import WORKSPACE
from studio.store.project_archive import FORMAT, MANIFEST, MEMBER, STORED, Progress, no_project
from studio.store.projects import ProjectStore, taken_ids
from studio.store.run_archive import extract, unpack
from studio.store.run_folder_import import ID, read_spec
from studio.store.run_rows import link_rows, record_of
from studio.store.runs import RunStore

MAX_FILES = 20_000
MAX_BYTES = 200 * 2**30
"""Maximum bytes of everything in a project."""
MAX_TEXT_BYTES = 256 * 2**20
"""Maximum bytes of one text. All texts together have at most four times as much."""
MAX_RATIO = 30
"""Maximum ratio of the texts to the whole file, above the limit before."""
MAX_MANIFEST_BYTES = 16 * 2**20
LEFT_OVER = 24 * 3600
"""Age in seconds after which the folder of an import is considered abandoned."""
MARKS = ("given", "skip", "unsure")
"""Kinds of facts about a row."""


def import_project(home: Home, file: Path, title: str, progress: Progress) -> ProjectRecord:
    """A new project from a file. `title`: its name; by default the one in the file, with a number if it exists.

    Ids of runs and datasets that this data folder has are replaced.

    Raises:
        StudioError `unreadable-file`, `too-large`, `disk-full`, `bad-setting`. Nothing of the file is left then.
    """
    projects = ProjectStore(home)
    if title:
        projects.free_title(title)  # refused now, instead of after the work
    if not file.is_file():
        raise StudioError(
            "unreadable-file", "There is no such file.", given=file.name, hint="Check its name and its folder."
        )
    above = home.root / "importing"
    above.mkdir(mode=0o700, exist_ok=True)
    with alone(above):  # two imports at once could choose the same ids
        _sweep(above)
        project = projects.new_id()
        try:
            manifest = _fill(home, file, above / project, progress)
            return projects.add(title or projects.numbered_title(manifest.title), project, above / project)
        finally:
            shutil.rmtree(above / project, ignore_errors=True)


def _fill(home: Home, file: Path, folder: Path, progress: Progress) -> ProjectManifest:
    """Import the content of a file into a new folder."""
    folder.mkdir(mode=0o700)
    try:
        with no_room(folder), zipfile.ZipFile(file) as archive:
            members = _members(archive, file.stat().st_size)
            manifest = _manifest(archive, members)
            content = _Import(home, archive, members, manifest, folder)
            try:
                content.all(progress)
            finally:
                content.db.close()
            sync_tree(folder)
            return manifest
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the file
        raise no_project("it is not a complete zip file") from error


def _sweep(above: Path) -> None:
    """Delete what killed processes left behind."""
    for folder in above.glob("*"):
        with suppress(OSError):
            if folder.stat().st_mtime < time.time() - LEFT_OVER:
                shutil.rmtree(folder, ignore_errors=True)


def _members(archive: zipfile.ZipFile, file_size: int) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive by name. Each must be one that `pack_project` writes, and no bomb."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    size = sum(info.file_size for info in infos)
    if len(infos) > MAX_FILES or size > MAX_BYTES:
        raise _too_large(len(infos), size)
    for info in infos:
        name = repr(info.filename[:100])
        is_link = stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG)
        if not MEMBER.fullmatch(info.filename) or is_link or info.flag_bits & 1:
            raise no_project(f"{name} does not belong to a project")
        if info.filename.endswith(STORED) and info.file_size != info.compress_size:
            raise no_project(f"{name} is compressed twice")
        if info.filename.endswith((".json", ".jsonl")) and info.file_size > MAX_TEXT_BYTES:
            raise no_project(f"{name} is too large")
    if len({info.filename.casefold() for info in infos}) < len(infos):
        raise no_project("it has two files with the same name")
    if sum(info.compress_size for info in infos) > file_size:
        raise no_project("its files overlap")
    texts = sum(info.file_size for info in infos if not info.filename.endswith(STORED))
    if texts > max(4 * MAX_TEXT_BYTES, MAX_RATIO * file_size):
        raise no_project("it unpacks to far more than a project has")
    return {info.filename: info for info in infos}


def _too_large(files: int, size: int) -> StudioError:
    return StudioError(
        "too-large",
        "The file is too large for a project.",
        given=f"{files:,} files, {size / 2**30:.1f} GB",
        valid=f"up to {MAX_FILES:,} files and {MAX_BYTES >> 30} GB",
    )


def _manifest(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> ProjectManifest:
    info = members.get(MANIFEST)
    if info is None or info.file_size > MAX_MANIFEST_BYTES:
        raise no_project(f"{MANIFEST} is missing or too large")
    try:
        read = json.loads(archive.read(info))
        known = {name: value for name, value in read.items() if name in ProjectManifest.model_fields}
        manifest = ProjectManifest.model_validate(known)
    except (ValueError, AttributeError, RecursionError, ValidationError) as error:
        raise no_project(f"{MANIFEST} can't be read") from error
    if manifest.format > FORMAT:
        raise StudioError(
            "unreadable-file",
            "This file was exported by a newer version of the studio.",
            given=f"format {manifest.format}",
            valid=f"up to format {FORMAT}",
            hint="Update the studio, then import the file again.",
        )
    ids = [each.id for each in manifest.datasets]
    if len(set(ids)) < len(ids) or len(set(manifest.runs)) < len(manifest.runs):
        raise no_project("it names a dataset or a run twice")
    if not all(ID.fullmatch(run) for run in manifest.runs):
        raise no_project("it names a run by a path")
    if any(each.current not in each.versions for each in manifest.datasets):
        raise no_project("it names a version that it does not have")
    return manifest


class _Import:
    """The import of one file into a folder that becomes a workspace."""

    def __init__(
        self,
        home: Home,
        archive: zipfile.ZipFile,
        members: Mapping[str, zipfile.ZipInfo],
        manifest: ProjectManifest,
        folder: Path,
    ) -> None:
        self.archive, self.members, self.manifest, self.folder = archive, members, manifest, folder
        self.db = Database(folder / "studio.db", WORKSPACE)
        self.datasets = DatasetStore(self.db, folder / "datasets")
        self.runs = RunStore(self.db, folder / "runs")
        self.labels, self.drafts = LabelStore(self.db), DraftStore(self.db)
        datasets = [each.id for each in manifest.datasets]
        taken = taken_ids(home, "datasets", datasets)
        self.dataset_ids = {each: self.datasets.new_id() if each in taken else each for each in datasets}
        taken = taken_ids(home, "runs", manifest.runs)
        self.run_ids = {each: self.runs.new_id() if each in taken else each for each in manifest.runs}
        self.rows: dict[tuple[str, int], int] = {}
        """(dataset of the file, version) → number of rows."""

    def all(self, progress: Progress) -> None:
        """Import datasets, labels and runs, in their order."""
        total = sum(info.file_size for info in self.members.values())
        require_room(self.folder, total)
        (self.folder / "runs").mkdir(mode=0o700)
        (self.folder / "datasets").mkdir(mode=0o700)
        self.db.check()
        done = 0
        for dataset in self.manifest.datasets:
            progress(done := done + self._import_dataset(dataset), total)
        for run in self.manifest.runs:
            progress(done := done + self._import_run(run), total)
        if self.members.keys() - self._used():
            unknown = min(self.members.keys() - self._used())
            raise no_project(f"{unknown[:100]!r} belongs to no dataset and no run of it")

    def _used(self) -> set[str]:
        folders = [f"datasets/{each.id}/v{version}/" for each in self.manifest.datasets for version in each.versions]
        labels = {f"labels/{each.id}{suffix}" for each in self.manifest.datasets for suffix in (".json", ".jsonl")}
        runs = {f"runs/{run}.zip" for run in self.manifest.runs}
        known = set(folders)
        files = {name for name in self.members if name.rpartition("/")[0] + "/" in known}
        return {MANIFEST, *labels, *runs, *files}

    def _take(self, name: str, place: Path) -> int:
        """Extract one file. Returns its size in bytes."""
        info = self.members.get(name)
        if info is None:
            raise no_project(f"{name!r} is missing")
        try:
            extract(self.archive, info, place)
        except StudioError as error:
            raise no_project(str(error.given)) from error
        return info.file_size

    def _text(self, name: str) -> bytes:
        return self.archive.read(self.members[name]) if name in self.members else b""

    # --- datasets and labels ---

    def _import_dataset(self, dataset: ExportedDataset) -> int:
        """Import all versions of a dataset, with its labels. Returns the number of bytes that were read."""
        size, new_id = 0, self.dataset_ids[dataset.id]
        for version in sorted(set(dataset.versions)):
            source = f"datasets/{dataset.id}/v{version}/"
            record_name, rows_name = f"{source}record.json", f"{source}{ROWS}"
            names = {record_name, rows_name, *(name for name in self.members if name.startswith(source))}
            with self.datasets.filling(new_id, version) as filled:
                record_file = filled / f"{Path(ROWS).stem}.json"
                size += self._take(record_name, record_file)
                size += sum(self._take(name, filled / name.removeprefix(source)) for name in names - {record_name})
                try:
                    record = record_of(filled / Path(ROWS).stem, dataset.id, version)
                except StudioError as error:
                    if error.code == "too-large":
                        raise
                    raise no_project(f"the rows of {dataset.id}, version {version}, can't be read") from error
                record_file.unlink()
                self.datasets.add(record.model_copy(update={"id": new_id}), filled)
                self.rows[dataset.id, version] = record.rows
        self.datasets.go_to(new_id, dataset.current)
        facts = list(self._facts(dataset.id))
        self.labels.add_copies(new_id, facts)
        if choices := self._text(f"labels/{dataset.id}.json"):
            try:
                chosen = LabelChoices.model_validate_json(choices)
            except ValidationError as error:
                raise no_project(f"the choices for labeling {dataset.id} can't be read") from error
            self.drafts.put(f"labelling:{new_id}", chosen.model_dump(exclude_defaults=True))
        return size

    def _facts(self, dataset: str) -> Iterator[Fact]:
        """The labels of a dataset, oldest first."""
        for number, line in enumerate(self._text(f"labels/{dataset}.jsonl").splitlines(), 1):
            try:
                fact = Fact.model_validate_json(line)
                _require_valid(fact, self.rows.get((dataset, fact.version), -1))
            except (ValueError, TypeError, RecursionError) as error:
                raise no_project(f"line {number:,} of the labels of {dataset} can't be read") from error
            yield fact

    # --- runs ---

    def _import_run(self, run: str) -> int:
        """Import a run under its id, or under a new one. Returns the number of bytes that were read."""
        packed, staging = self.folder / "runs" / ".run.zip", self.folder / "runs" / f".import-{run}"
        size = self._take(f"runs/{run}.zip", packed)
        try:
            unpack(packed, staging)
        except StudioError as error:
            if error.code in ("unreadable-file", "damaged-run", "too-large"):
                raise no_project(f"the run {run} can't be read: {error.given}") from error
            raise
        packed.unlink()
        if (staging / IN_RUN).exists():
            raise no_project(f"the run {run} has rows of its own")
        if (total := folder_size(self.folder)) > MAX_BYTES:
            raise _too_large(len(self.members), total)
        spec = self._with_new_ids(read_spec(staging / "config.yaml"))
        write_whole(staging / "config.yaml", yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False))
        described = read_json(staging / "run.json")
        described["run"] = {**described["run"], "id": self.run_ids[run], "dataset": spec.dataset}
        write_whole(staging / "run.json", json.dumps(described, indent=2))
        with self.db.write():
            link_rows(staging, spec, self.datasets)
        record = self.runs.settle(staging)
        name = self.runs.unique_name(record.name, except_run=record.id)
        if name != record.name:
            self.runs.change(record.id, name=name)
        return size

    def _with_new_ids(self, spec: RunSpec) -> RunSpec:
        """A run's request with the ids of this data folder. Rows and runs that are not in the file keep their ids."""
        start = spec.config.start_from
        changes: dict[str, BaseModel | str] = {
            "dataset": self.dataset_ids.get(spec.dataset, spec.dataset),
            "config": spec.config.model_copy(update={"start_from": self.run_ids.get(start, start)}),
        }
        if spec.validation_dataset:
            changes["validation_dataset"] = self.dataset_ids.get(spec.validation_dataset, spec.validation_dataset)
        if spec.replay:
            replay = self.dataset_ids.get(spec.replay.dataset, spec.replay.dataset)
            changes["replay"] = spec.replay.model_copy(update={"dataset": replay})
        return spec.model_copy(update=changes)


def _require_valid(fact: Fact, rows: int) -> None:
    """Raise `ValueError` for a fact that the studio does not write. `rows`: those of its version, -1 for none."""
    about_row = fact.what in MARKS or (fact.what == "undo" and fact.row > 0)
    if not (1 if about_row else 0) <= fact.row <= (rows if about_row else 0) or rows < 0:
        raise ValueError("a row that the version does not have")
    if len(fact.time) > 40 or len(fact.labeller) > 200 or fact.id < 0 or fact.id >= 2**62:
        raise ValueError("a time, name or id that is too long")
    if fact.sure is not None and not 0 <= fact.sure <= 1:
        raise ValueError("a probability beyond 0 to 1")
    if fact.what in ("names", "rename"):
        names = json.loads(fact.value or "")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("names that are no list of texts")
        if fact.what == "rename" and len(names) != 2:
            raise ValueError("a new name without an old one")
    if re.search(r"[\ud800-\udfff]", fact.value or ""):
        raise ValueError("a lone surrogate")
