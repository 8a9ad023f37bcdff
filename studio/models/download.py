"""Download of a model from the Hub to its cache on this machine, with progress. It can be stopped and resumed.

The Hub library discards a partial file when it is stopped. So large files are downloaded here, to the place where the
library looks for them. The library downloads the rest.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from studio.machine.disk import FULL
from studio.models.hub_files import Remote, gated, hub_errors, needed_files, require_network, unreachable
from studio.models.loading_rules import check_trust
from studio.models.sources.hub import HubSource
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo

Report = Callable[[int, int], None]
"""Called with bytes done and total bytes."""
MIN_FREE_BYTES = 200_000_000
"""Bytes that must stay free on the disk."""
MAX_FAILURES = 5
"""Number of consecutive connection failures without progress before the download fails."""


class _DownloadStopped(Exception):
    """The user stopped the download."""


@dataclass(frozen=True)
class _File:
    """A large file of a repository, identified by its checksum."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Download:
    """A download of a Hub model."""

    info: ModelInfo
    progress: Report
    should_stop: Callable[[], bool] = lambda: False
    token: str | None = None
    trust: bool = False
    source: HubSource = field(default_factory=HubSource)

    @property
    def remote(self) -> Remote:
        """The Hub with the credentials of this download."""
        return Remote(self.source.endpoint, self.source.cache, self.token)

    def run(self) -> ModelInfo:
        """Download the missing files and return the model's description.

        If `should_stop` returns true, keep what was downloaded and return `info` unchanged (not `here`). The next
        download resumes. Raise `StudioError` for an unsafe model, a network failure, a full disk, or an unusable
        repository.
        """
        info, remote = self.info, self.remote
        check_trust(info, self.trust)
        require_network(info.name)
        try:
            with hub_errors(info.name):
                self._fetch(remote.api().model_info(info.name, files_metadata=True, timeout=10, token=remote.auth))
        except _DownloadStopped:
            return info
        except OSError as error:
            raise _disk_full(info.name) if error.errno in FULL else error from error
        cached = self.source.cached(info.name)
        if cached is None:
            raise StudioError(
                "broken-model",
                "The model was downloaded, but it has no usable weights or no usable tokenizer.",
                given=info.name,
                valid="a repository with config.json, model.safetensors and a tokenizer",
                hint="Choose the original model. A converted copy (GGUF, ONNX) or an adapter can't be the base model.",
                field="model",
            )
        return cached.model_copy(update={"gated": info.gated, "downloads": info.downloads})

    def _fetch(self, hub_info: Any) -> None:
        """Download large files directly, and the others through the library."""
        from huggingface_hub import snapshot_download

        siblings = {sibling.rfilename: sibling for sibling in hub_info.siblings or []}
        needed = needed_files(siblings, self.trust)
        large = [_File(name, lfs.size, lfs.sha256) for name in needed if (lfs := siblings[name].lfs)]
        small = sum(siblings[name].size or 0 for name in needed if not siblings[name].lfs)
        blobs = self.source.folder(hub_info.id) / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        total, done = sum(file.size for file in large) + small, 0
        missing = sum(file.size - _bytes_present(blobs, file) for file in large)
        if shutil.disk_usage(blobs).free < missing + MIN_FREE_BYTES:
            raise _disk_full(hub_info.id, missing + MIN_FREE_BYTES)
        for file in large:
            self._fetch_file(hub_info, file, blobs, partial(self._report, done, total))
            done += file.size
            self.progress(done, total)
        if self.should_stop():
            raise _DownloadStopped
        snapshot_download(
            hub_info.id,
            cache_dir=self.source.cache or None,
            endpoint=self.remote.address,
            token=self.remote.auth,
            allow_patterns=needed,
            etag_timeout=10,
            tqdm_class=_silent_bar(),
        )
        self.progress(total, total)

    def _report(self, before: int, total: int, received: int) -> None:
        self.progress(before + received, total)

    def _fetch_file(self, hub_info: Any, file: _File, blobs: Path, report: Callable[[int], None]) -> None:
        """Download one file, resuming from what is present, with retries after connection failures."""
        import httpx2

        target, partial_file = blobs / file.sha256, blobs / f"{file.sha256}.part"
        if target.exists():
            return
        with _locked(partial_file, hub_info.id):
            failures = 0
            while partial_file.stat().st_size < file.size:
                size_before = partial_file.stat().st_size
                try:
                    self._stream(hub_info, file, partial_file, report)
                except httpx2.TransportError as error:
                    failures = failures + 1 if partial_file.stat().st_size == size_before else 1
                    if failures >= MAX_FAILURES:
                        raise unreachable(hub_info.id) from error
                    time.sleep(min(2**failures / 4, 5))
                if self.should_stop():
                    raise _DownloadStopped
            with partial_file.open("rb") as stream:
                is_valid = hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
            if not is_valid:
                partial_file.unlink()
                raise _broken(f"{hub_info.id}/{file.name}", "A downloaded file was damaged, so it was deleted.")
            partial_file.replace(target)

    def _stream(self, hub_info: Any, file: _File, partial_file: Path, report: Callable[[int], None]) -> None:
        """Append to the partial file until it is complete, the connection fails, or the download is stopped."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import get_session, hf_raise_for_status

        received = partial_file.stat().st_size
        headers = {**self.remote.headers(), "Accept-Encoding": "identity", "Range": f"bytes={received}-"}
        url = hf_hub_url(hub_info.id, file.name, revision=hub_info.sha, endpoint=self.remote.address)
        with get_session().stream("GET", url, headers=headers, timeout=10, follow_redirects=True) as response:
            if response.status_code in (401, 403) and hub_info.gated:
                raise gated(hub_info.id)
            hf_raise_for_status(response)
            with partial_file.open("ab" if response.status_code == 206 else "wb") as out:
                received = received if response.status_code == 206 else 0
                for chunk in response.iter_raw():
                    out.write(chunk)
                    received += len(chunk)
                    report(received)
                    if self.should_stop():
                        return
        if received > file.size:
            partial_file.unlink()
            raise _broken(
                f"{hub_info.id}/{file.name}", "A downloaded file was larger than announced, so it was deleted."
            )


def _broken(file: str, what: str) -> StudioError:
    return StudioError("broken-model", what, given=file, hint="Download it again.")


def _bytes_present(blobs: Path, file: _File) -> int:
    """Return the number of bytes of a file that are present, complete or partial."""
    partial_file = blobs / f"{file.sha256}.part"
    if (blobs / file.sha256).exists():
        return file.size
    return partial_file.stat().st_size if partial_file.exists() else 0


@contextmanager
def _locked(partial_file: Path, name: str) -> Iterator[None]:
    """Lock a file during its download, so that no other process appends to it."""
    import fcntl

    descriptor = os.open(partial_file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StudioError(
            "wrong-state", "This model is already being downloaded.", given=name, hint="Wait until the download ends."
        ) from error
    finally:
        os.close(descriptor)


def _silent_bar() -> Any:
    """Return the library's progress bar class, without output."""
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    return Silent


def _disk_full(name: str, needed: int = 0) -> StudioError:
    return StudioError(
        "disk-full",
        "The disk has too little free space for this model.",
        given=name,
        valid=f"{needed / 1e9:.1f} GB free" if needed else None,
        hint="Free some space, or set HF_HOME to a folder on another disk. The part that was downloaded is saved.",
    )
