"""Bringing a model from the Hub to its usual cache on this machine: with bytes told, and a way to stop and go on.

The library drops what it has of a file when it is stopped, so the large files are fetched here, into the very place
where the library looks for them; it then does the rest.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.machine.disk import FULL
from studio.models.hub_files import Remote, gated, hub_errors, needed_files, require_network, unreachable
from studio.models.loading_rules import check_trust
from studio.models.sources.hub import HubSource
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo

Report = Callable[[int, int], None]
"""Called with bytes done and bytes in all."""
ROOM_LEFT = 200_000_000
"""Bytes that must stay free on the disk."""
TRIES = 5
"""Breaks of the line in a row, with nothing new between them, before it is given up."""


class _Stopped(Exception):
    """It was asked to stop."""


@dataclass(frozen=True)
class _File:
    """A large file of a repository, known by its sum."""

    name: str
    size: int
    sha256: str


def download(
    info: ModelInfo,
    progress: Report,
    should_stop: Callable[[], bool] = lambda: False,
    token: str | None = None,
    trust: bool = False,
    source: HubSource | None = None,
) -> ModelInfo:
    """Fetch what is missing of a Hub model and return it as it then lies here.

    When it is asked to stop, what has come stays, the model is returned as it was given (not `here`), and the next
    call goes on.
    """
    source = source or HubSource()
    check_trust(info, trust)
    require_network(info.name)
    remote = Remote(source.endpoint, source.cache, token)
    try:
        with hub_errors(info.name):
            found = remote.api().model_info(info.name, files_metadata=True, timeout=10, token=remote.auth)
            _fetch(remote, found, trust, progress, should_stop)
    except _Stopped:
        return info
    except OSError as error:
        raise _disk_full(info.name) if error.errno in FULL else error from error
    here = source.cached(info.name)
    if here is None:
        raise StudioError(
            "broken-model",
            "The model was fetched, but it lacks weights or a tokenizer that can be used here.",
            given=info.name,
            valid="a repository with config.json, model.safetensors and a tokenizer",
            hint="A quantised or converted copy (GGUF, ONNX, an adapter) is no base model.",
            field="model",
        )
    return here.model_copy(update={"gated": info.gated, "downloads": info.downloads})


def _fetch(remote: Remote, found: Any, trust: bool, progress: Report, should_stop: Callable[[], bool]) -> None:
    """The large files by ourselves, the others by the library."""
    from huggingface_hub import snapshot_download

    siblings = {sibling.rfilename: sibling for sibling in found.siblings or []}
    wanted = needed_files(siblings, trust)
    large = [_File(name, lfs.size, lfs.sha256) for name in wanted if (lfs := siblings[name].lfs)]
    small = sum(siblings[name].size or 0 for name in wanted if not siblings[name].lfs)
    blobs = _blobs(remote, found.id)
    total, done = sum(file.size for file in large) + small, 0
    missing = sum(file.size - _have(blobs, file) for file in large)
    if shutil.disk_usage(blobs).free < missing + ROOM_LEFT:
        raise _disk_full(found.id, missing + ROOM_LEFT)
    for file in large:
        before = done
        _fetch_file(remote, found, file, blobs, lambda got, start=before: progress(start + got, total), should_stop)  # type: ignore[misc]
        done += file.size
        progress(done, total)
    if should_stop():
        raise _Stopped
    snapshot_download(
        found.id,
        cache_dir=remote.cache or None,
        endpoint=remote.address,
        token=remote.auth,
        allow_patterns=wanted,
        etag_timeout=10,
        tqdm_class=_silent_bar(),
    )
    progress(total, total)


def _fetch_file(
    remote: Remote, found: Any, file: _File, blobs: Path, told: Callable[[int], None], should_stop: Callable[[], bool]
) -> None:
    """One file, going on from what is here, through breaks of the line."""
    import httpx2

    target, part = blobs / file.sha256, blobs / f"{file.sha256}.part"
    if target.exists():
        return
    with _alone(part, found.id):
        failures = 0
        while part.stat().st_size < file.size:
            before = part.stat().st_size
            try:
                _stream(remote, found, file, part, told, should_stop)
            except httpx2.TransportError as error:
                failures = failures + 1 if part.stat().st_size == before else 1
                if failures >= TRIES:
                    raise unreachable(found.id) from error
                time.sleep(min(2**failures / 4, 5))
            if should_stop():
                raise _Stopped
        with part.open("rb") as stream:
            right = hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
        if not right:
            part.unlink()
            raise StudioError(
                "broken-model",
                "A file came damaged from the Hub and was thrown away.",
                given=f"{found.id}/{file.name}",
                hint="Download it again.",
            )
        part.replace(target)


def _stream(
    remote: Remote, found: Any, file: _File, part: Path, told: Callable[[int], None], should_stop: Callable[[], bool]
) -> None:
    """Append to `part` until the file is whole, the line breaks, or it is to stop."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import get_session, hf_raise_for_status

    have = part.stat().st_size
    headers = {**remote.headers(), "Accept-Encoding": "identity", "Range": f"bytes={have}-"}
    address = hf_hub_url(found.id, file.name, revision=found.sha, endpoint=remote.address)
    with get_session().stream("GET", address, headers=headers, timeout=10, follow_redirects=True) as answer:
        if answer.status_code in (401, 403) and found.gated:
            raise gated(found.id)
        hf_raise_for_status(answer)
        with part.open("ab" if answer.status_code == 206 else "wb") as out:
            have = have if answer.status_code == 206 else 0
            for chunk in answer.iter_raw():
                out.write(chunk)
                have += len(chunk)
                told(have)
                if should_stop():
                    return
    if have > file.size:
        part.unlink()
        raise StudioError(
            "broken-model",
            "The Hub sent more than it announced, and it was thrown away.",
            given=f"{found.id}/{file.name}",
            hint="Download it again.",
        )


def _blobs(remote: Remote, name: str) -> Path:
    """Where the library keeps the contents of a repository's files, by their sums."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(remote.cache or constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "blobs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _have(blobs: Path, file: _File) -> int:
    """Bytes of a file that are here, whole or in part."""
    part = blobs / f"{file.sha256}.part"
    if (blobs / file.sha256).exists():
        return file.size
    return part.stat().st_size if part.exists() else 0


@contextmanager
def _alone(part: Path, name: str) -> Iterator[None]:
    """Hold a file that is being fetched, so that no other process appends to it."""
    import fcntl

    descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise StudioError(
            "wrong-state", "This model is being downloaded already.", given=name, hint="Wait until it is here."
        ) from error
    finally:
        os.close(descriptor)


def _silent_bar() -> Any:
    """The library's progress bar, not drawn."""
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    return Silent


def _disk_full(name: str, needed: int = 0) -> StudioError:
    return StudioError(
        "disk-full",
        "There is not enough room on the disk for this model.",
        given=name,
        valid=f"{needed / 1e9:.1f} GB free" if needed else None,
        hint="Make room, or let HF_HOME name a folder on another disk. What was fetched so far is kept.",
    )
