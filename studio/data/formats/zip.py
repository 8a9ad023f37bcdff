"""A zip of files. Its size is checked first; then each file is read by its format, and all become one table."""

import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile, ZipInfo

from studio.data.columnar import Builder
from studio.data.formats.archive import MOST_BYTES, members_of
from studio.data.formats.base import Format, Reading, ReadLimits
from studio.data.formats.joining import choose_files, join
from studio.data.phrases import listed
from studio.data.table import Table
from studio.schema.errors import StudioError

_HINT = "Make a new zip without a password, or import the files one by one."
_CHUNK = 1 << 20
ReadOne = Callable[[Path, str, ReadLimits, Reading], Table]
"""Reads one file, whatever its format."""


def zip_format(read_one: ReadOne, readable: Callable[[str], bool]) -> Format:
    """Return the zip format. `readable` selects the files by name; `read_one` reads them."""

    def read(path: Path, name: str, how: Reading, limits: ReadLimits) -> Table:
        members = _data_files(members_of(path, name, "zip archive", _HINT, limits), name)
        names, notes = choose_files([member.filename for member in members], readable)
        to_read = set(names)
        chosen = [member for member in members if member.filename in to_read]
        if not chosen:
            raise StudioError(
                "unknown-format",
                f"{name} has no file that the studio can read.",
                given=listed(member.filename for member in members) or "an empty archive",
                hint="Add files with rows, for example CSV or JSONL.",
            )
        with TemporaryDirectory() as folder:
            files = _unpack(path, name, chosen, Path(folder), limits)
            openers = [(file_name, partial(read_one, file, file_name, limits)) for file_name, file in files]
            return join(openers, Builder(name, "zip", limits), how, notes)

    return Format("zip", "Zip of files", (".zip",), read, sandboxed=True)


def _data_files(members: list[ZipInfo], name: str) -> list[ZipInfo]:
    """Return the data files without system files. Raise `StudioError` for a path outside the archive or a password."""
    files = []
    for member in members:
        place = PurePosixPath(member.filename.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in member.filename.split("/")[0]:
            raise StudioError(
                "unreadable-file",
                f"{name} has a file whose name points outside the archive. Nothing was unpacked.",
                given=member.filename,
                hint="Make a new zip of the files, and use archives only from people you trust.",
            )
        if member.flag_bits & 1:
            raise StudioError("unreadable-file", f"{name} has a password.", given=member.filename, hint=_HINT)
        hidden = any(part.startswith((".", "__MACOSX")) for part in place.parts)
        if not member.is_dir() and not hidden and member.file_size:
            files.append(member)
    return files


def _unpack(path: Path, name: str, members: list[ZipInfo], folder: Path, limits: ReadLimits) -> list[tuple[str, Path]]:
    """Unpack members to files with our own names. Sizes are measured, because an archive can declare wrong ones."""
    files, left = [], MOST_BYTES
    try:
        with ZipFile(path) as archive:
            for number, member in enumerate(members):
                target = folder / f"{number}{PurePosixPath(member.filename).suffix}"
                with archive.open(member) as packed, target.open("wb") as out:
                    while chunk := packed.read(_CHUNK):
                        left -= len(chunk)
                        limits.check_decoded(name, MOST_BYTES - left)
                        if left < 0:
                            raise StudioError(
                                "too-large",
                                f"{name} grows beyond {MOST_BYTES / 1e6:,.0f} MB.",
                                hint="Unpack it, and import its files one by one.",
                            )
                        out.write(chunk)
                files.append((member.filename, target))
    except (BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise StudioError("unreadable-file", f"{name} is damaged.", given=str(error)[:200], hint=_HINT) from error
    return files
