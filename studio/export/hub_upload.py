"""Uploads a folder to the Hub with huggingface_hub. `run_in_process` calls `upload`, so that it can be canceled.

Resuming is the same call again. The Hub keeps each large file that has arrived, and asks only for the others.
Nothing is visible in the repository before the one commit at the end.
"""

import hashlib
import io
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from studio.export.folder import TAG
from studio.schema.errors import StudioError

MESSAGE = "Upload a model fine-tuned with Fine-tune Studio"
OF_HUB = frozenset((".gitattributes",))
"""Files that the Hub itself puts into a new repository."""
WEIGHTS = (".safetensors", ".safetensors.index.json", ".gguf", ".onnx")
"""Endings of files that an earlier upload may have left and a new one must not mix with."""
AGAIN = "Files that have arrived are kept. Upload it again to continue."
WRITERS = frozenset(("admin", "write", "contributor"))
"""Roles in an organization that may make repositories."""
UPLOADING = "Uploading"
"""What is being done once bytes are sent."""
Progress = Callable[[int, int, str], None]


class CountedFile(io.BufferedReader):
    """A file that reports how far it has been read."""

    def __init__(self, path: Path, moved: Callable[[int], None]) -> None:
        super().__init__(io.FileIO(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb"))
        self._moved = moved

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and report the new place."""
        data = super().read(size)
        self._moved(self.tell())
        return data


class _Sent:
    """Bytes of each file that were read for sending. A part that is sent again is not counted twice."""

    def __init__(self, total: int, progress: Progress) -> None:
        self.total, self._progress = total, progress
        self._places: dict[str, int] = {}
        self._lock = threading.Lock()
        self.sending = False
        """False while the files are only hashed."""

    def moved(self, name: str, place: int) -> None:
        if not self.sending:
            return
        with self._lock:
            self._places[name] = max(place, self._places.get(name, 0))
            done = sum(self._places.values())
        self._progress(done, self.total, UPLOADING)


@dataclass(frozen=True)
class Target:
    """The repository that gets the files."""

    repo: str
    """OWNER/NAME."""
    kind: str
    """`model` or `space`."""
    private: bool
    """Whether it must be private. A repository that exists is not changed."""
    library: str = ""
    """The library that loads the model. Files for two libraries are not mixed in one repository."""
    sdk: str | None = None
    """The SDK of a Space."""
    hardware: str | None = None
    """The hardware of a new Space. None: the Hub's default."""


def upload(
    folder: str, files: Sequence[str], target: dict[str, Any], hub: dict[str, str], progress: Progress
) -> dict[str, Any]:
    """Upload files of a folder in one commit, and check that the Hub has them.

    Args:
        folder: The folder of the export.
        files: Paths in it, with slashes.
        target: The fields of `Target`.
        hub: `endpoint`, the address of the Hub, and `token`.
        progress: Gets bytes done, all bytes, and what is being done.

    Returns:
        `url`, `commit`, `files` and `bytes`.

    Raises:
        StudioError: The Hub refuses it, or the connection broke.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    to, place = Target(**target), Path(folder)
    total = sum((place / name).stat().st_size for name in files)
    sent = _Sent(total, progress)
    api = HfApi(endpoint=hub["endpoint"], token=hub["token"])
    with _hub_errors(to.repo), ExitStack() as opened:
        progress(0, total, "Checking the repository")
        check_owner(api.whoami(), to.repo)
        existing = _repository(api, to)
        progress(0, total, "Reading the files")
        opens = {name: opened.enter_context(CountedFile(place / name, partial(sent.moved, name))) for name in files}
        additions = [CommitOperationAdd(name, file) for name, file in opens.items()]
        stale = [CommitOperationDelete(name) for name in existing if name.endswith(WEIGHTS) and name not in opens]
        sent.sending = True
        commit = api.create_commit(to.repo, [*additions, *stale], commit_message=MESSAGE, repo_type=to.kind)
        progress(total, total, "Checking the upload")
        _check_arrived(api, to, commit.oid, additions)
    prefix = "spaces/" if to.kind == "space" else ""
    return {
        "url": f"{hub['endpoint']}/{prefix}{to.repo}",
        "commit": commit.oid,
        "files": len(files),
        "bytes": total,
    }


def check_owner(account: dict[str, Any], repo: str) -> None:
    """Raise `StudioError` unless the token may write to the owner's repositories, as far as the account tells."""
    owner, own = repo.split("/")[0], str(account.get("name", ""))
    organizations = {
        str(each.get("name")): each.get("roleInOrg", "write") in WRITERS for each in account.get("orgs") or ()
    }
    owners = [own, *(name for name, writes in organizations.items() if writes)]
    if owner not in owners:
        raise StudioError(
            "not-allowed",
            "Your Hub token belongs to another account, so nothing was uploaded.",
            given=repo,
            valid=[f"{each}/…" for each in owners],
            hint="Use your own name, or that of an organization in which you may write.",
            field="repo",
        )
    token = (account.get("auth") or {}).get("accessToken") or {}
    if token.get("role") == "read":
        raise _no_right(repo, "Your Hub token can only read.")


def _repository(api: Any, to: Target) -> list[str]:
    """Make the repository, or check the one that exists. Returns the names of its files."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = api.repo_info(to.repo, repo_type=to.kind)
    except RepositoryNotFoundError:
        space = {"space_sdk": to.sdk, "space_hardware": to.hardware} if to.kind == "space" else {}
        api.create_repo(to.repo, private=to.private, repo_type=to.kind, exist_ok=True, **space)
        info = api.repo_info(to.repo, repo_type=to.kind)
    names = [each.rfilename for each in info.siblings or () if each.rfilename not in OF_HUB]
    if bool(info.private) != to.private:
        raise StudioError(
            "wrong-state",
            "This repository already exists and is private. Nothing was uploaded."
            if info.private
            else "This repository already exists, and everybody can see it. Nothing was uploaded.",
            given=to.repo,
            valid="a new name, or a repository with the visibility that you chose",
            hint="Choose another name, or change the repository's visibility in its settings on the Hub.",
            field="repo",
        )
    if names and TAG not in (info.tags or ()):
        raise StudioError(
            "wrong-state",
            "This repository has files that the studio did not make. Nothing was uploaded.",
            given=to.repo,
            valid="a new name, or a repository that the studio has made",
            hint="Choose another name.",
            field="repo",
        )
    known = getattr(info, "library_name", None)
    if names and to.library and known and known != to.library:
        raise StudioError(
            "wrong-state",
            f"This repository holds a model for {known}. The export is for {to.library}. Nothing was uploaded.",
            given=to.repo,
            valid="a repository of its own for each format",
            hint="Choose another name.",
            field="repo",
        )
    return names


def _check_arrived(api: Any, to: Target, commit: str, additions: Sequence[Any]) -> None:
    """Raise `StudioError` unless the Hub has each file with the same size and hash."""
    uploaded = {
        each.path: each for each in api.list_repo_tree(to.repo, recursive=True, revision=commit, repo_type=to.kind)
    }
    for addition in additions:
        file, info = uploaded.get(addition.path_in_repo), addition.upload_info
        if file is not None and file.size == info.size:
            if file.lfs is not None and file.lfs.sha256 == info.sha256.hex():
                continue
            if file.lfs is None and file.blob_id == _git_hash(addition):
                continue
        raise StudioError(
            "no-network",
            "A file on the Hub differs from the one on this machine.",
            given=addition.path_in_repo,
            hint="Upload it again.",
        )


def _git_hash(addition: Any) -> str:
    with addition.as_file() as file:
        data = file.read()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


@contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """Convert the library's errors to `StudioError`."""
    import httpx2
    from huggingface_hub import errors

    try:
        yield
    except (errors.HfHubHTTPError, httpx2.TransportError) as error:
        raise _hub_error(repo, error) from error
    except RuntimeError as error:  # the library wraps the error of a large file's upload
        if isinstance(error.__cause__, errors.HfHubHTTPError | httpx2.TransportError):
            raise _hub_error(repo, error.__cause__) from error
        raise
    except ValueError as error:
        if found := re.search(r"LFS batch API returned errors:.*?`([^`\n]+)", str(error), re.DOTALL):
            raise _no_right(repo, f"The Hub refuses the upload: {found[1].strip()}") from error
        if "README.md" not in str(error):
            raise
        raise StudioError(
            "format-unavailable",
            "The Hub does not accept the model card.",
            given=str(error).partition("\n")[2].strip() or None,
            hint="Export it again, then upload it.",
        ) from error


def _hub_error(repo: str, error: Exception) -> StudioError:
    from huggingface_hub.errors import HfHubHTTPError

    if not isinstance(error, HfHubHTTPError):
        return StudioError("no-network", "The connection to the Hub broke.", given=repo, hint=AGAIN)
    status = error.response.status_code
    reason = " ".join((error.server_message or "").split())[:200]
    if status == 401:
        return _no_right(repo, "The Hub rejects your token.")
    if status == 402:
        return StudioError(
            "not-allowed",
            "The Hub asks for a paid plan.",
            given=reason or repo,
            hint="Spaces on a CPU need one. A Space on ZeroGPU and a model do not.",
            field="repo",
        )
    if status == 403:
        return _no_right(repo, f"The Hub refuses the upload: {reason}" if reason else "The Hub refuses the upload.")
    if status in (409, 412):
        return StudioError("wrong-state", "The repository has changed meanwhile.", given=repo, hint=AGAIN)
    return StudioError(
        "no-network",
        f"The Hub responded with error {status}.",
        given=reason or repo,
        hint=f"{AGAIN} Wait a minute first.",
    )


def _no_right(repo: str, what: str) -> StudioError:
    return StudioError(
        "not-allowed",
        what,
        given=repo,
        valid="a token that may write to this repository",
        hint="On https://huggingface.co/settings/tokens, make a fine-grained token with write access to your own "
        "repositories and nothing else. Add it in the Export tab or with: studio token",
        field="repo",
    )
