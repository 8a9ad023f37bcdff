"""A project as one zip file: rows, labels, and each run as the zip file that `run_archive` writes.

Left out are checkpoints, exports, cached tokens and drafts: they can be made again, or need pickled state.
project_import.py reads such a file.
"""

import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from studio.machine.paths import places, without
from studio.schema.errors import StudioError
from studio.schema.projects import ExportedDataset, LabelChoices, ProjectManifest, ProjectRecord
from studio.schema.runs import ACTIVE
from studio.store.datasets import ROWS
from studio.store.files import require_room
from studio.store.home import Workspace
from studio.store.run_archive import new_zip, pack

MANIFEST = "project.json"
FORMAT = 1
Progress = Callable[[int, int], None]
"""Gets the bytes that are done, and all bytes."""
_ID, _RUN = r"[A-Za-z0-9_-]{1,80}", r"[A-Za-z0-9][A-Za-z0-9_-]{9,63}"
_ORIGINAL = r"original-?\d{0,5}(?:\.[a-z0-9]{1,11})?"
MEMBER = re.compile(
    rf"{re.escape(MANIFEST)}|datasets/{_ID}/v[1-9]\d{{0,5}}/(?:{re.escape(ROWS)}|record\.json|{_ORIGINAL})"
    rf"|labels/{_ID}\.jsonl?|runs/{_RUN}\.zip"
)
"""Names of the files in it."""
STORED = (".parquet", ".zip")
"""Suffixes of files that are not compressed again."""


def pack_project(workspace: Workspace, project: ProjectRecord, out: Path, progress: Progress) -> int:
    """Write a project to one file, atomically. Returns its size in bytes.

    Raises:
        StudioError `wrong-state`: a run is running or queued. `damaged-run`: a run can't be read.
    """
    runs, datasets = workspace.runs.all()[::-1], workspace.datasets.all()[::-1]
    if active := next((run for run in runs if run.status in ACTIVE), None):
        raise StudioError(
            "wrong-state",
            "A run of this project is running or queued, so the project can't be exported now.",
            given=active.name,
            hint="Wait until it ends, or pause it.",
        )
    sizes = {run.id: _size_of_run(workspace, run.id) for run in runs}
    files = {name: path for dataset in datasets for name, path in _files(workspace, dataset.id)}
    total = sum(sizes.values()) + sum(path.stat().st_size for path in files.values())
    require_room(out.parent, total + max(sizes.values(), default=0))
    manifest = ProjectManifest(
        format=FORMAT,
        title=project.title,
        created=project.created,
        datasets=tuple(
            ExportedDataset(
                id=dataset.id,
                versions=tuple(each.version for each in workspace.datasets.versions(dataset.id)),
                current=dataset.version,
            )
            for dataset in datasets
        ),
        runs=tuple(run.id for run in runs),
    )
    done, folders = 0, places([workspace.home.root])
    with new_zip(out) as archive, TemporaryDirectory(dir=out.parent, prefix=".runs-") as scratch:
        archive.writestr(MANIFEST, manifest.model_dump_json(indent=2))
        for name, path in files.items():
            archive.write(path, name, zipfile.ZIP_STORED if path.suffix in STORED else zipfile.ZIP_DEFLATED)
            progress(done := done + path.stat().st_size, total)
        for name, text in _texts(workspace, [each.id for each in datasets]):
            archive.writestr(name, without(text, folders) if name.endswith("record.json") else text)
        for run in runs:
            workspace.runs.describe(run.id)
            packed = Path(scratch) / f"{run.id}.zip"
            pack(workspace.runs.folder(run.id).root, packed, home=workspace.home.root)
            archive.write(packed, f"runs/{run.id}.zip", zipfile.ZIP_STORED)
            packed.unlink()
            progress(done := done + sizes[run.id], total)
    return out.stat().st_size


def _size_of_run(workspace: Workspace, run: str) -> int:
    """Bytes of what is exported of a run, before compression."""
    folder = workspace.runs.folder(run)
    learned = (folder.adapter, folder.model)
    files = [path for place in learned for path in place.rglob("*")] + [*folder.root.glob("*")]
    return sum(path.stat().st_size for path in files if path.is_file() and path.suffix != ".log")


def _files(workspace: Workspace, dataset: str) -> Iterator[tuple[str, Path]]:
    """Name in the archive and path of the rows and the uploaded files, of all versions."""
    store = workspace.datasets
    for record in store.versions(dataset):
        folder = f"datasets/{dataset}/v{record.version}"
        rows = store.rows_path(dataset, record.version)
        if not rows.exists():
            raise StudioError(
                "unreadable-file",
                f"The rows of “{record.name}” are missing, so the project can't be exported.",
                given=f"version {record.version}",
                hint="Delete this dataset, or restore its folder from a backup.",
            )
        yield f"{folder}/{ROWS}", rows
        for path in store.originals(dataset, record.version):
            if MEMBER.fullmatch(name := f"{folder}/{path.name}"):
                yield name, path
            elif MEMBER.fullmatch(name := f"{folder}/{path.stem}"):  # an unusual suffix
                yield name, path


def _texts(workspace: Workspace, datasets: list[str]) -> Iterator[tuple[str, str]]:
    """Name in the archive and content of the records, labels and choices for labeling."""
    for dataset in datasets:
        for record in workspace.datasets.versions(dataset):
            yield f"datasets/{dataset}/v{record.version}/record.json", record.model_dump_json(indent=2)
        facts = workspace.labels.after(dataset)
        if facts:
            yield f"labels/{dataset}.jsonl", "".join(f"{fact.model_dump_json()}\n" for fact in facts)
        if choices := workspace.drafts.get(f"labelling:{dataset}"):
            known = {name: value for name, value in choices.items() if name in LabelChoices.model_fields}
            yield f"labels/{dataset}.json", json.dumps(known)


def no_project(why: str) -> StudioError:
    """The error for a file that `pack_project` did not write."""
    return StudioError(
        "unreadable-file",
        "This file is not a project that the studio exported.",
        given=why,
        valid="a file from “Export” of a project, or from studio project export",
        hint="Nothing was imported. Export the project again and import the new file.",
    )
