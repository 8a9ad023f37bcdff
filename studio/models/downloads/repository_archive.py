"""The files of a GitHub repository, as an archive. They are read and written, and never run here."""

import os
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from studio.models.downloads.guarded_client import guarded_client
from studio.models.downloads.source_errors import source_errors
from studio.schema.errors import StudioError

TITLE = "GitHub"
ADDRESS = "https://github.com"
TIMEOUT_SECONDS = 10
MAX_ARCHIVE_BYTES = 50_000_000
MAX_BYTES = 200_000_000
"""Of all files of a repository."""
MAX_FILES = 5000
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
    FileExistsError,
    NotADirectoryError,
)
"""What zipfile and the writing of a damaged or hostile archive raise."""


def github() -> str:
    """Return the address of GitHub, or of the server in `GITHUB_SERVER_URL`."""
    return (os.environ.get("GITHUB_SERVER_URL") or ADDRESS).rstrip("/")


def download_repository(repository: str, revision: str, folder: Path) -> None:
    """Write the files of `owner/name` at a branch, a tag or a commit to a new folder. Raise `StudioError`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as work:
        with tempfile.TemporaryFile(dir=work) as archive:
            _receive(repository, revision, archive)
            unpack_repository(archive, repository, Path(work) / "files")
        try:
            (Path(work) / "files").rename(folder)
        except OSError:
            if not folder.is_dir():  # else another request was first
                raise


def _receive(repository: str, revision: str, archive: BinaryIO) -> None:
    address = f"{github()}/{repository}/zipball/{revision}"
    received = 0
    with source_errors(TITLE, repository), guarded_client(github(), TIMEOUT_SECONDS) as client:
        with client.stream("GET", address) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                received += len(chunk)
                if received > MAX_ARCHIVE_BYTES:
                    raise too_large(repository)
                archive.write(chunk)


def unpack_repository(archive: BinaryIO, repository: str, folder: Path) -> None:
    """Write the plain files of an archive to a new folder, without its one folder at the top."""
    folder.mkdir()
    left = MAX_BYTES
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [each for each in opened.infolist() if not each.is_dir()]
            if len(members) > MAX_FILES:
                raise too_large(repository)
            for member in members:
                parts = PurePosixPath(member.filename).parts[1:]
                if not parts or ".." in parts or stat.S_ISLNK(member.external_attr >> 16):
                    continue
                target = folder.joinpath(*parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as source, target.open("xb") as out:
                    while chunk := source.read(1 << 20):
                        left -= len(chunk)
                        if left < 0:
                            raise too_large(repository)
                        out.write(chunk)
    except UNREADABLE as error:
        raise StudioError(
            "no-network",
            f"{TITLE} sent an answer that the studio can't read.",
            given=repository,
            hint="Try again in a few minutes.",
        ) from error


def too_large(repository: str) -> StudioError:
    """Return the error for a repository over a limit."""
    return StudioError(
        "too-large",
        "This repository is too large.",
        given=repository,
        valid=f"at most {MAX_BYTES // 1_000_000} MB and {MAX_FILES} files",
        hint="Choose another model.",
        field="model",
    )
