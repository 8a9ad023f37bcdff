"""A run as one zip file: its description and its result. Importing one trusts no byte of it.

Archives contain nothing that runs code when it is read: no pickles, no Python. Checkpoints are left out, since resuming
needs pickled state. Rows are included only on request, since they may be private.
"""

import json
import os
import re
import secrets
import shutil
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from studio.machine.disk import sync_file, sync_folder, sync_tree
from studio.machine.paths import places, without
from studio.schema.errors import StudioError
from studio.schema.models import BASE_KEYS
from studio.schema.report import Report
from studio.store.datasets import IN_RUN
from studio.store.files import no_room, read_json, require_room
from studio.store.run_folder_import import read_spec

SINGLE_FILES = frozenset({"config.yaml", "run.json", "events.jsonl", "splits.json", "report.json"})
RESULT_FOLDERS = frozenset({"adapter", "model"})
RESULT_SUFFIXES = frozenset({".json", ".safetensors", ".txt", ".jinja", ".model", ".md", ".yaml"})
"""Suffixes of files in a result folder."""
TEXT_SUFFIXES = frozenset({".json", ".jsonl", ".txt", ".jinja", ".md", ".yaml"})
VOCABULARY_FILES = frozenset({"tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json"})
"""Their tokens may look like paths and are not changed."""
BINARY = (".safetensors", ".parquet")
MAX_FILES = 500
MAX_BYTES = 50 * 2**30
MAX_TEXT_BYTES = 512 * 2**20
"""Maximum bytes of a file that is read as text."""
CHUNK = 2**20
DESCRIPTIONS = frozenset({"config.yaml", "run.json"})
PLACEHOLDER = "\x00model\x00"
PLAIN = re.compile(r"[A-Za-z0-9_-]{0,80}")
"""Pattern of a dataset id or run id."""


def pack(folder: Path, out: Path, rows: Mapping[str, tuple[Path, str]] | None = None, home: Path | None = None) -> int:
    """Write a run's folder to one file, atomically. Returns its size in bytes. Its texts name no folder of this
    machine.

    `rows`: name → (Parquet file, its record as JSON). `home`: the studio's data folder.
    """
    cleaner = _PathCleaner(folder, home)
    paths = {_inside(folder, path): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {name: path for name, path in paths.items() if _belongs(name) and not name.startswith(f"{IN_RUN}/")}
    records = {f"{IN_RUN}/{name}.json": known for name, (_, known) in (rows or {}).items()}
    files |= {f"{IN_RUN}/{name}.parquet": path for name, (path, _) in (rows or {}).items()}
    require_room(out.parent, sum(path.stat().st_size for path in files.values()))
    with new_zip(out) as archive:
        for name, path in files.items():
            if path.suffix in BINARY:  # compression would not make it smaller
                archive.write(path, name, zipfile.ZIP_STORED)
            elif path.suffix in TEXT_SUFFIXES and path.name not in VOCABULARY_FILES:
                archive.writestr(name, cleaner(name, path.read_bytes().decode("utf-8", "replace")))
            else:
                archive.write(path, name)
        for name, text in records.items():
            archive.writestr(name, cleaner(name, text))
    return out.stat().st_size


@contextmanager
def new_zip(out: Path) -> Iterator[zipfile.ZipFile]:
    """A zip file to write into. It gets its name when it is complete and on the disk."""
    beside = out.with_name(f".{out.name}.{secrets.token_hex(4)}.new")
    try:
        with no_room(out), zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            yield archive
        with no_room(out):
            sync_file(beside)
        os.replace(beside, out)
        sync_folder(out.parent)
    finally:
        beside.unlink(missing_ok=True)


class _PathCleaner:
    """Shortens paths of this machine in the texts of a run to their last part.

    A base model that is a folder has no other name. In the run's description its path is kept, relative to the home
    folder if it is inside.
    """

    def __init__(self, folder: Path, home: Path | None) -> None:
        self._folders = places([folder, *([home] if home else [])])
        model = read_spec(folder / "config.yaml").config.model
        described = read_json(folder / "run.json").get("model") or {}
        self._base = described.get("hub_id") or described.get("title") or PurePosixPath(model).name
        self._model = model if model.startswith("/") else ""
        own = f"{Path.home()}/"
        self._display_path = f"~/{model.removeprefix(own)}" if model.startswith(own) else model

    def __call__(self, name: str, text: str) -> str:
        if name.endswith("config.json"):
            text = self._named(text)
        if not any(folder in text for folder in self._folders) and not (self._model and self._model in text):
            return text
        describes = name in DESCRIPTIONS and self._model
        text = without(
            text, self._folders, {self._model: PLACEHOLDER if describes else self._base} if self._model else {}
        )
        return text.replace(PLACEHOLDER, self._display_path)

    def _named(self, text: str) -> str:
        """The settings of a saved model with its base by name. Older versions wrote the base's folder there."""
        settings = json.loads(text)
        named = {key: self._base for key in BASE_KEYS if str(settings.get(key) or "").startswith(("/", "~"))}
        return json.dumps({**settings, **named}, indent=2, ensure_ascii=False) + "\n" if named else text


def unpack(file: Path, into: Path) -> None:
    """Extract a run into an empty folder. Raises an error and leaves nothing if the file is not a valid, safe run."""
    into.mkdir(parents=True)
    try:
        with no_room(into):
            _unpack(file, into)
            sync_tree(into)
        _check(into)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise


def _check(folder: Path) -> None:
    """Require that an extracted folder describes a run and refers to nothing outside the studio."""
    if not isinstance(read_json(folder / "run.json").get("run"), dict):
        raise no_run("its run.json does not describe a run")
    spec = read_spec(folder / "config.yaml")
    named = (
        spec.dataset,
        spec.validation_dataset or "",
        spec.replay.dataset if spec.replay else "",
        spec.config.start_from,
    )
    if not all(PLAIN.fullmatch(name) for name in named):
        raise no_run("it refers to rows or runs by a path")
    report, splits = folder / "report.json", folder / "splits.json"
    try:
        if report.exists():
            Report.model_validate_json(report.read_bytes())
        parts = json.loads(splits.read_bytes()) if splits.exists() else {}
        if not all(isinstance(parts.get(part) or [], list) for part in ("train", "validation", "test")):
            raise ValueError("a split must be a list of rows")
    except (ValueError, AttributeError, RecursionError) as error:
        raise no_run("its report or its splits can't be read") from error
    for path in folder.rglob("*.json"):
        if "auto_map" in read_json(path):
            raise no_run(f"{path.name} needs code from a repository")


def _unpack(file: Path, into: Path) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = list(_members(archive))
            require_room(into, sum(member.file_size for member in members))
            for member in members:
                extract(archive, member, into / member.filename)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise no_run("it is not a complete zip file") from error


def _members(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """The files of an archive. Each must be one that `pack` writes."""
    infos = [info for info in archive.infolist() if not info.is_dir()]
    names = [info.filename for info in infos]
    if not {"config.yaml", "run.json"} <= set(names):
        raise no_run("config.yaml or run.json is missing")
    files, size = len(names), sum(info.file_size for info in infos)
    if files > MAX_FILES or size > MAX_BYTES:
        raise StudioError(
            "too-large",
            "The file is too large for a run.",
            given=f"{files:,} files, {size / 2**30:.1f} GB",
            valid=f"up to {MAX_FILES} files and {MAX_BYTES >> 30} GB",
        )
    if len(set(names)) < len(names):
        raise no_run("it has two files with the same name")
    for info in infos:
        if not _belongs(info.filename) or stat.S_ISLNK(info.external_attr >> 16) or info.flag_bits & 1:
            raise no_run(f"{info.filename[:100]!r} does not belong to a run")
        if not info.filename.endswith(BINARY) and info.file_size > MAX_TEXT_BYTES:
            raise no_run(f"{info.filename[:100]!r} is too large")
        yield info


def extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: Path) -> None:
    """Extract one file, which must not exist. Raises an error when it is larger than announced."""
    place.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size
    with archive.open(member) as source, place.open("xb") as out:
        while chunk := source.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise no_run(f"{member.filename!r} is larger than the zip file says")
            out.write(chunk)


def _inside(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()


def _belongs(name: str) -> bool:
    """Whether `pack` writes files of this name: relative, inside the run, no code, no pickle."""
    if "\\" in name or "\0" in name or ":" in name:
        return False
    parts = PurePosixPath(name).parts
    if name in SINGLE_FILES:
        return True
    if len(parts) == 2 and parts[0] == IN_RUN:
        place = PurePosixPath(parts[1])
        return place.suffix in (".json", ".parquet") and bool(PLAIN.fullmatch(place.stem))
    safe = all(part not in ("..", ".") and not part.startswith(("/", ".")) for part in parts)
    return (
        len(parts) in (2, 3) and parts[0] in RESULT_FOLDERS and safe and PurePosixPath(name).suffix in RESULT_SUFFIXES
    )


def no_run(why: str) -> StudioError:
    """The error for a file that `pack` did not write."""
    return StudioError(
        "unreadable-file",
        "This file is not a run that the studio saved.",
        given=why,
        valid="a file from “Export run” (Runs tab) or studio export-run",
        hint="Nothing was imported. Export the run again and import the new file.",
    )
