"""PyTorch Hub: entry points of repositories. Their code runs in a process of its own, and only if it is trusted."""

import ast
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from studio.machine.environment import remove_secrets
from studio.machine.run_in_process import ProcessCancelled, ProcessCrashed, ProcessLimits, run_in_process
from studio.models.downloads.downloaded import RECORD, complete_folder, downloaded_model, downloaded_models, folder_of
from studio.models.downloads.fetching import Fetching
from studio.models.downloads.file_download import unusable
from studio.models.downloads.hub_files import needed_files
from studio.models.downloads.repository_archive import MAX_BYTES, MAX_FILES, download_repository, too_large
from studio.models.downloads.source_errors import require_online
from studio.models.fingerprint import fingerprint_of_sums, sum_of
from studio.models.inspect import inspect_folder
from studio.models.loading_rules import check_trust
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

PREFIX = "torchhub:"
NAME = re.compile(
    r"torchhub:(?:(?P<repository>[\w-]{1,60}/[\w.-]{1,100})(?:@(?P<revision>[\w.-]{1,100}))?|(?P<path>[~/.][^:]{0,4000}))"
    r":(?P<entry>[A-Za-z]\w{0,99})(?::(?P<argument>[\w./-]{1,200}))?",
    re.ASCII,
)
HUBCONF = "hubconf.py"
TITLE = "PyTorch Hub"
TOKENIZER = "tokenizer"
"""Entry point for the tokenizer, where the first one gives a model alone."""
SECONDS = 3600.0
NEEDS_TRUST = "Python code of this repository makes the model. It would run on this machine with all your permissions."


@dataclass(frozen=True)
class _Entry:
    """What a name says: a repository on GitHub or in a folder, an entry point, and its argument."""

    name: str
    repository: str
    revision: str
    path: str
    entry: str
    argument: str

    @property
    def code(self) -> Path:
        """The folder with the code."""
        if self.path:
            return Path(self.path).expanduser()
        return folder_of("torchhub", f"{self.repository}@{self.revision}").with_suffix(".code")

    @property
    def origin(self) -> str:
        """Where the model is from, without a path of this machine."""
        place = f"{self.repository}@{self.revision}" if self.repository else self.code.name
        return f"{place}, {self.entry}{f' {self.argument}' if self.argument else ''}, through torch.hub"


class TorchHubSource:
    """Models by `torchhub:owner/repository:entry` or `torchhub:FOLDER:entry`."""

    name: ModelSource = "torchhub"
    title = TITLE
    is_searched = False

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the saved model, else the entry point. Its code is downloaded and read, and not run."""
        if not name.startswith(PREFIX):
            return None
        local = downloaded_model(self.name, name)
        if local is not None:
            return local
        parsed = _parsed(name)
        if parsed.repository and not parsed.code.is_dir():
            require_online(TITLE, name)
            download_repository(parsed.repository, parsed.revision, parsed.code)
        _entry_points(parsed)
        return ModelInfo(
            name=name,
            title=f"{parsed.repository.rpartition('/')[2] or parsed.code.name}, {parsed.argument or parsed.entry}",
            source="torchhub",
            kind="other",
            origin=parsed.origin,
            needs_trust=NEEDS_TRUST,
            fingerprint=_fingerprint(parsed.code, name),
        )

    def fetch(self, info: ModelInfo, fetching: Fetching) -> ModelInfo:
        """Run the entry point in a process of its own, and keep the model that it saves."""
        check_trust(info, fetching.trust)
        parsed, folder = _parsed(info.name), folder_of(self.name, info.name)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as work:
            try:
                saved = _saved(parsed, info, Path(work), fetching)
            except ProcessCancelled:
                return info
            shutil.rmtree(folder, ignore_errors=True)
            saved.rename(folder)
        complete_folder(folder, info)
        if parsed.repository:
            shutil.rmtree(parsed.code, ignore_errors=True)
        return downloaded_model(self.name, info.name) or info

    def known(self) -> list[ModelInfo]:
        """Return the saved models."""
        return downloaded_models(self.name)

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Return nothing: PyTorch Hub has no search for models of transformers."""
        return []


def _parsed(name: str) -> _Entry:
    match = NAME.fullmatch(name)
    if match is None or ".." in (match["repository"] or "") + (match["revision"] or ""):
        raise StudioError(
            "no-such-model",
            "This is not the name of an entry point on PyTorch Hub.",
            given=name,
            valid="torchhub:owner/repository:entry, or with an argument, torchhub:owner/repository:entry:argument",
            field="model",
        )
    revision = match["revision"] or "HEAD"
    return _Entry(
        name, match["repository"] or "", revision, match["path"] or "", match["entry"], match["argument"] or ""
    )


def _entry_points(parsed: _Entry) -> list[str]:
    """Return the entry points of hubconf.py, which is read, and not run. Raise `StudioError` if this one is missing."""
    try:
        tree = ast.parse((parsed.code / HUBCONF).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError) as error:
        raise StudioError(
            "no-such-model",
            "The repository has no hubconf.py that can be read.",
            given=parsed.name,
            valid="a repository for torch.hub",
            field="model",
        ) from error
    names = [each.name for each in tree.body if isinstance(each, ast.FunctionDef)]
    for each in tree.body:
        if isinstance(each, ast.ImportFrom):
            names += [alias.asname or alias.name for alias in each.names]
    names = sorted(name for name in names if not name.startswith("_"))
    if parsed.entry not in names:
        raise StudioError(
            "no-such-model",
            "The repository has no entry point of this name.",
            given=parsed.entry,
            valid=", ".join(names[:40]) or "no entry point at all",
            field="model",
        )
    return names


def _fingerprint(code: Path, name: str) -> str:
    """Return a hash of all files of a repository, without those of git. Raise `StudioError` if it is too large."""
    sums: dict[str, str] = {}
    total = 0
    for root, folders, files in os.walk(code):
        folders[:] = [each for each in folders if each not in (".git", "__pycache__")]
        for file in sorted(files):
            path = Path(root) / file
            if path.is_symlink() or not path.is_file():
                continue
            facts = path.stat()
            total += facts.st_size
            if total > MAX_BYTES or len(sums) >= MAX_FILES:
                raise too_large(name)
            sums[path.relative_to(code).as_posix()] = sum_of(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)
    return fingerprint_of_sums(sums)


def _saved(parsed: _Entry, info: ModelInfo, work: Path, fetching: Fetching) -> Path:
    """Run a copy of the trusted code, and return a folder with the plain files of its model."""
    copy, made, kept = work / "code", work / "made", work / "kept"
    shutil.copytree(parsed.code, copy, ignore=_left_out)
    if _fingerprint(copy, info.name) != info.fingerprint:
        raise StudioError(
            "wrong-state",
            f"{info.title} has changed since you saw it.",
            given=info.name,
            hint="Check it again before you allow it.",
            field="model",
        )
    _run(parsed, copy, made, fetching)
    kept.mkdir()
    names = [each.name for each in made.iterdir() if each.is_file() and not each.is_symlink()]
    for name in needed_files(names):
        if name != RECORD:
            os.replace(made / name, kept / name)
    try:
        needs_trust = inspect_folder(kept, info.name).needs_trust
    except StudioError as error:
        raise unusable(info.name) from error
    if needs_trust:
        raise StudioError(
            "wrong-model",
            "The entry point gives no model of transformers.",
            given=info.name,
            valid="a model such as LlamaForCausalLM, alone or with its tokenizer",
            field="model",
        )
    return kept


def _left_out(folder: str, names: list[str]) -> list[str]:
    """Names in a folder that are not copied: links, pipes and the like, and what git and Python keep."""
    paths = {name: Path(folder) / name for name in names}
    plain = {name for name, path in paths.items() if not path.is_symlink() and (path.is_file() or path.is_dir())}
    return [name for name in names if name not in plain or name in (".git", "__pycache__")]


def _run(parsed: _Entry, copy: Path, made: Path, fetching: Fetching) -> None:
    """Run the entry point in a process, without the secrets of this one."""
    environment = {**os.environ, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    remove_secrets(environment)
    limits = ProcessLimits(seconds=SECONDS, environment=environment)
    arguments = {
        "repository": str(copy),
        "entry": parsed.entry,
        "argument": parsed.argument,
        "tokenizer_entry": TOKENIZER if TOKENIZER in _entry_points(parsed) else "",
        "folder": str(made),
    }
    try:
        with fetching.watching(made) as cancel:
            run_in_process("studio.models.downloads.torch_hub:save_entry", arguments, limits, cancel=cancel)
    except ProcessCrashed as error:
        raise StudioError(
            "broken-model",
            "The entry point ended with an error.",
            given=f"{parsed.entry}: {error.last_line[:300] or error.message}",
            hint="Ask the authors of the repository, or choose another model.",
            field="model",
        ) from error
