"""Download of a model from the Hub to its cache on this machine, with progress. It can be stopped and resumed.

The Hub library discards a partial file when it is stopped. So large files are downloaded here, to the place where the
library looks for them. The library downloads the rest.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from studio.machine.disk import FULL
from studio.models.downloads.file_download import DownloadStopped, FileDownload, check_space, disk_full, unusable
from studio.models.downloads.hub_files import Remote, gated, hub_errors, needed_files, require_network, unreachable
from studio.models.loading_rules import check_trust
from studio.models.sources.hub import HubSource
from studio.schema.models import ModelInfo

Report = Callable[[int, int], None]
"""Called with bytes done and total bytes."""


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
        except DownloadStopped:
            return info
        except OSError as error:
            raise disk_full(info.name) if error.errno in FULL else error from error
        cached = self.source.cached(info.name)
        if cached is None:
            raise unusable(info.name)
        return cached.model_copy(update={"gated": info.gated, "downloads": info.downloads})

    def _fetch(self, hub_info: Any) -> None:
        """Download large files directly, and the others through the library."""
        from huggingface_hub import snapshot_download

        siblings = {sibling.rfilename: sibling for sibling in hub_info.siblings or []}
        needed = needed_files(siblings, self.trust)
        blobs = self.source.folder(hub_info.id) / "blobs"
        blobs.mkdir(parents=True, exist_ok=True)
        large = [self._large_file(hub_info, name, lfs, blobs) for name in needed if (lfs := siblings[name].lfs)]
        small = sum(siblings[name].size or 0 for name in needed if not siblings[name].lfs)
        total, done = sum(file.size for file in large) + small, 0
        check_space(blobs, hub_info.id, sum(file.missing for file in large))
        for file in large:
            file.run(partial(self._report, done, total), self.should_stop)
            done += file.size
            self.progress(done, total)
        if self.should_stop():
            raise DownloadStopped
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

    def _large_file(self, hub_info: Any, name: str, lfs: Any, blobs: Path) -> FileDownload:
        """The download of a large file to where the library looks for it: under its checksum."""
        return FileDownload(
            model=hub_info.id,
            name=name,
            target=blobs / lfs.sha256,
            size=lfs.size,
            sha256=lfs.sha256,
            open=partial(self._open, hub_info, name),
            unreachable=partial(unreachable, hub_info.id),
        )

    @contextmanager
    def _open(self, hub_info: Any, name: str, received: int) -> Iterator[Any]:
        """Request a file from a position on."""
        from huggingface_hub import hf_hub_url
        from huggingface_hub.utils import get_session, hf_raise_for_status

        headers = {**self.remote.headers(), "Accept-Encoding": "identity", "Range": f"bytes={received}-"}
        url = hf_hub_url(hub_info.id, name, revision=hub_info.sha, endpoint=self.remote.address)
        with get_session().stream("GET", url, headers=headers, timeout=10, follow_redirects=True) as response:
            if response.status_code in (401, 403) and hub_info.gated:
                raise gated(hub_info.id)
            hf_raise_for_status(response)
            yield response


def _silent_bar() -> Any:
    """Return the library's progress bar class, without output."""
    from huggingface_hub.utils import tqdm

    class Silent(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    return Silent
