"""The registry of file formats, and functions that read one file, several files, or pasted text as a table."""

import io
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile

from studio.data.columnar import Builder
from studio.data.formats import delimited, json_document
from studio.data.formats.base import AS_FOUND, HARD, Format, Reading, ReadLimits
from studio.data.formats.delimited import CSV, TSV
from studio.data.formats.joining import choose_files, join
from studio.data.formats.json_document import JSON
from studio.data.formats.json_lines import JSONL
from studio.data.formats.parquet import PARQUET
from studio.data.formats.plain_text import MARKDOWN, TXT
from studio.data.formats.sandboxed_reader import read_sandboxed
from studio.data.formats.xlsx import XLSX
from studio.data.formats.zip import zip_format
from studio.data.phrases import listed
from studio.data.table import Table
from studio.machine.plugins import Registry, members_of
from studio.schema.errors import StudioError


def _in_zip(path: Path, name: str, limits: ReadLimits, how: Reading) -> Table:
    """Read a file from a zip. This already runs in a sandboxed process."""
    return format_of(path, name).read(path, name, how, limits)


def _readable(name: str) -> bool:
    extension = PurePosixPath(name).suffix.lower()
    return any(extension in candidate.extensions for candidate in FORMATS.values() if candidate is not ZIP)


ZIP = zip_format(_in_zip, _readable)
FORMATS: Registry[Format] = Registry(
    "formats",
    (CSV, TSV, XLSX, JSON, JSONL, PARQUET, TXT, MARKDOWN, ZIP),
    name_of=lambda format: format.name,
    needs=members_of(Format),
)
MOST_FILES = 10_000
MIN_READABLE = 5
"""Refuse a folder if less than one file in this many is readable."""
_PARQUET, _ZIP = b"PAR1", b"PK\x03\x04"
"""First bytes that identify a format regardless of the name."""
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


def format_of(path: Path, name: str) -> Format:
    """Return the format by name and first bytes. Raise `StudioError` if it is unknown."""
    extension = Path(name).suffix.lower()
    by_name = next((each for each in FORMATS.values() if extension in each.extensions), None)
    with open(path, "rb") as file:
        head = file.read(512)
    if head.startswith(_OLD_EXCEL):
        raise StudioError(
            "unknown-format",
            f"{name} is a workbook in an old format, or has a password.",
            valid=list(FORMATS),
            hint="Save it as .xlsx without a password, or as CSV.",
        )
    if head.startswith(_PARQUET):
        return PARQUET
    if by_name and head.startswith(_ZIP):
        return XLSX if _is_workbook(path) else ZIP
    if by_name is None:
        raise StudioError(
            "unknown-format",
            f"The studio can't read files like {name}.",
            given=extension or "a name without an extension",
            valid=list(FORMATS),
        )
    if by_name is JSONL and head.removeprefix(BOM_UTF8).lstrip().startswith(b"["):
        return JSON
    return by_name


def _is_workbook(path: Path) -> bool:
    try:
        with ZipFile(path) as archive:
            return any(member.startswith("xl/") for member in archive.namelist()[:1000])
    except (BadZipFile, OSError, ValueError):
        return False


def read(path: Path, *, name: str = "", limits: ReadLimits = HARD, how: Reading = AS_FOUND) -> Table:
    """Return the rows of a file. `name` is the name to show, if it differs from the path's. Raise `StudioError`."""
    name = name or path.name
    if not path.is_file():
        what = f"{name} is a folder, not a file." if path.is_dir() else f"There is no file {name}."
        raise StudioError("unreadable-file", what, given=path, hint="Check the path.")
    size = path.stat().st_size
    limits.check_file(name, size)
    if size == 0:
        raise StudioError("empty-data", f"{name} is empty.", hint="Import a file with at least 8 rows.")
    try:
        format = format_of(path, name)
        reader = partial(read_sandboxed, format) if format.is_sandboxed(limits) else format.read
        return reader(path, name, how, limits)
    except PermissionError as error:
        hint = "Check the file's permissions."
        raise StudioError("unreadable-file", f"The studio has no permission to read {name}.", hint=hint) from error


def files_in(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the readable files in a folder and its subfolders, as name → path, and notes about the others."""
    files = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        place = path.relative_to(folder)
        if not any(part.startswith(".") for part in place.parts) and path.stat().st_size:
            files[place.as_posix()] = path
    names, notes = choose_files(list(files), _readable)
    if not names:
        raise StudioError(
            "empty-data",
            f"The folder {folder.name} has no file that the studio can read.",
            given=listed(files) or "an empty folder",
            valid=list(FORMATS),
        )
    if len(names) < len(files) / MIN_READABLE:
        raise StudioError(
            "unknown-format",
            f"The folder {folder.name} is not a dataset. Most of its files can't be read.",
            given=f"{len(names):,} of {len(files):,} files can be read",
            hint="Choose a folder that has only the data files.",
        )
    return {name: files[name] for name in names}, notes


def read_many(
    paths: Mapping[str, Path],
    *,
    name: str,
    limits: ReadLimits = HARD,
    how: Reading = AS_FOUND,
    notes: Sequence[str] = (),
) -> Table:
    """Return the rows of several files as one table. `paths` is name to show → path."""
    if not paths or len(paths) > MOST_FILES:
        raise StudioError(
            "unreadable-file",
            "This number of files can't be joined.",
            given=len(paths),
            valid=f"1 to {MOST_FILES:,} files",
        )
    sizes = sum(path.stat().st_size for path in paths.values() if path.is_file())
    limits.check_file(f"{len(paths):,} files" if len(paths) > 1 else next(iter(paths)), sizes)
    openers = [(label, partial(_read_one, path, label, limits)) for label, path in paths.items()]
    return join(openers, Builder(name, "files", limits), how, notes)


def _read_one(path: Path, name: str, limits: ReadLimits, how: Reading) -> Table:
    return read(path, name=name, limits=limits, how=how)


def read_text(text: str, how: Reading = AS_FOUND, limits: ReadLimits = HARD) -> Table:
    """Return pasted rows as a table: JSON, JSON Lines, or delimited text as copied from a spreadsheet."""
    name = "The pasted text"
    limits.check_file(name, len(text.encode("utf-8", "replace")))
    text = text.removeprefix("\ufeff")
    start = text.lstrip()[:1]
    if start and start in "[{":
        return json_document.read_text(text, Builder(name, "json", limits, encoding="utf-8"), has_undecodable=False)
    builder = Builder(name, "csv", limits, encoding="utf-8")
    return delimited.read_lines(
        io.StringIO(text, newline=""), builder, has_undecodable=False, default_delimiter="\t", how=how
    )


__all__ = [
    "AS_FOUND",
    "FORMATS",
    "HARD",
    "Format",
    "ReadLimits",
    "Reading",
    "files_in",
    "format_of",
    "read",
    "read_many",
    "read_text",
]
