"""Download of one large file, with progress, resumption, retries and a check of its sha256."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.machine.locks import try_lock
from studio.schema.errors import StudioError

MIN_FREE_BYTES = 200_000_000
"""Bytes that must stay free on the disk."""
HUB_VARIABLE = "HF_HOME"
MAX_FAILURES = 5
"""Number of consecutive connection failures without progress before the download fails."""


class DownloadStopped(Exception):
    """The user stopped the download."""


@dataclass(frozen=True)
class FileDownload:
    """A file that a server sends in pieces. What was received is in `target` with the suffix `.part`."""

    model: str
    """Name of the model, for messages."""
    name: str
    """Name of the file, for messages."""
    target: Path
    size: int
    sha256: str
    """Empty: the server does not say it, and only the size is checked."""
    open: Callable[[int], AbstractContextManager[Any]]
    """Sends the request for the bytes from a position on, and gives a response of status 200 or 206. It raises
    `StudioError` for another status."""
    unreachable: Callable[[], StudioError]
    """The error for a server that can't be reached."""

    @property
    def partial(self) -> Path:
        """The file with what was received so far."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def missing(self) -> int:
        """Bytes that are still to be received."""
        if self.target.exists():
            return 0
        return max(self.size - (self.partial.stat().st_size if self.partial.exists() else 0), 0)

    def run(self, report: Callable[[int], None], should_stop: Callable[[], bool]) -> None:
        """Download what is missing. Raise `DownloadStopped` or `StudioError`. `report` gets the bytes of this file."""
        import httpx2

        if self.target.exists():
            return
        with _locked(self.partial, self.model):
            failures = 0
            if self.partial.stat().st_size > self.size:  # another version of the file
                os.truncate(self.partial, 0)
            while (before := self.partial.stat().st_size) < self.size:
                failure: Exception | None = None
                try:
                    self._receive(report, should_stop)
                except httpx2.TransportError as error:
                    failure = error
                if should_stop():
                    raise DownloadStopped
                if (after := self.partial.stat().st_size) < self.size:  # an answer can also be too short
                    failures = failures + 1 if after <= before else 1
                    if failures >= MAX_FAILURES:
                        raise self.unreachable() from failure
                    time.sleep(min(2**failures / 4, 5))
            self._check_sum()
            self.partial.replace(self.target)

    def _receive(self, report: Callable[[int], None], should_stop: Callable[[], bool]) -> None:
        """Append to the partial file until it is complete, the connection fails, or the download is stopped."""
        received = self.partial.stat().st_size
        with self.open(received) as response:
            received = received if response.status_code == 206 else 0
            with self.partial.open("ab" if response.status_code == 206 else "wb") as out:
                for chunk in response.iter_raw():
                    received += len(chunk)
                    if received > self.size:
                        break
                    out.write(chunk)
                    report(received)
                    if should_stop():
                        return
        if received > self.size:
            self.partial.unlink()
            raise self._broken("A downloaded file was larger than announced, so it was deleted.")

    def _check_sum(self) -> None:
        if not self.sha256:
            return
        with self.partial.open("rb") as stream:
            is_valid = hashlib.file_digest(stream, "sha256").hexdigest() == self.sha256
        if not is_valid:
            self.partial.unlink()
            raise self._broken("A downloaded file was damaged, so it was deleted.")

    def _broken(self, what: str) -> StudioError:
        return StudioError("broken-model", what, given=f"{self.model}/{self.name}", hint="Download it again.")


def matches(path: Path, size: int, sha256: str) -> bool:
    """Return whether a file has this size and checksum. An empty checksum is not compared."""
    if path.stat().st_size != size:
        return False
    with path.open("rb") as stream:
        return not sha256 or hashlib.file_digest(stream, "sha256").hexdigest() == sha256


def check_space(folder: Path, name: str, missing: int, variable: str = HUB_VARIABLE) -> None:
    """Raise `StudioError` if the disk of a folder has too little space for so many bytes."""
    if shutil.disk_usage(folder).free < missing + MIN_FREE_BYTES:
        raise disk_full(name, missing + MIN_FREE_BYTES, variable)


def unusable(name: str) -> StudioError:
    """Return the error for a downloaded model that can't be used."""
    return StudioError(
        "broken-model",
        "The model was downloaded, but it has no usable weights or no usable tokenizer.",
        given=name,
        valid="a repository with config.json, model.safetensors and a tokenizer",
        hint="Choose the original model. A converted copy (GGUF, ONNX) or an adapter can't be the base model.",
        field="model",
    )


def disk_full(name: str, needed: int = 0, variable: str = HUB_VARIABLE) -> StudioError:
    """Return the error for a full disk. `variable` is what moves the downloads to another disk."""
    return StudioError(
        "disk-full",
        "The disk has too little free space for this model.",
        given=name,
        valid=f"{needed / 1e9:.1f} GB free" if needed else None,
        hint=f"Free some space, or set {variable} to a folder on another disk. The part that was downloaded is saved.",
    )


@contextmanager
def _locked(partial_file: Path, name: str) -> Iterator[None]:
    """Lock a file during its download, so that no other process appends to it."""
    descriptor = os.open(partial_file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        if not try_lock(descriptor):
            hint = "Wait until the download ends."
            raise StudioError("wrong-state", "This model is already being downloaded.", given=name, hint=hint)
        yield
    finally:
        os.close(descriptor)
