"""ModelScope: models by `modelscope:owner/name`, downloaded to the studio's own cache."""

import re
from functools import partial
from pathlib import Path
from typing import Any

from studio.models.architectures import kind_of
from studio.models.downloads import modelscope
from studio.models.downloads.downloaded import CACHE_VARIABLE, RECORD
from studio.models.downloads.fetching import Fetching
from studio.models.downloads.file_download import FileDownload, check_space, matches
from studio.models.downloads.hub_files import needed_files, pickled_names
from studio.models.downloads.modelscope import TITLE, ModelScopeFile
from studio.models.downloads.source_errors import refused, unreachable
from studio.models.fingerprint import CONFIGS, fingerprint_of_sums
from studio.models.inspect import trust_reason
from studio.models.sources.downloading import DownloadingSource, describe_files
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

PREFIX = "modelscope:"
IDENTIFIER = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)


class ModelScopeSource(DownloadingSource):
    """Public models of ModelScope. No token is sent."""

    name: ModelSource = "modelscope"
    title = TITLE
    prefix = PREFIX
    is_searched = True

    def endpoint(self) -> str:
        """Return the address of ModelScope."""
        return modelscope.endpoint()

    def check_name(self, name: str) -> None:
        """Raise `StudioError` unless it is `modelscope:owner/name`."""
        _identifier(name)

    def ask(self, name: str) -> ModelInfo:
        """Ask ModelScope for a model, its files and its settings."""
        return _ask(_identifier(name))

    def ask_for_models(self, text: str, limit: int) -> list[ModelInfo]:
        """Ask ModelScope for models with this text in their names, the most downloaded first."""
        return [info for each in modelscope.search(text, limit) if (info := _listed(each))]

    def download(self, info: ModelInfo, folder: Path, fetching: Fetching) -> ModelInfo:
        """Download the needed files, and remove other files from the folder."""
        _download(info, folder, fetching)
        return info


def _identifier(name: str) -> str:
    identifier = name.removeprefix(PREFIX)
    if not _is_identifier(identifier):
        raise StudioError(
            "no-such-model",
            "This is not the name of a model on ModelScope.",
            given=name,
            valid="modelscope:owner/name, for example modelscope:Qwen/Qwen3-0.6B",
            field="model",
        )
    return identifier


def _is_identifier(text: str) -> bool:
    return bool(IDENTIFIER.fullmatch(text)) and ".." not in text


def _listed(each: dict[str, Any]) -> ModelInfo | None:
    """A search result. None for one that is not about text, or that needs a login."""
    identifier = str(each.get("id", ""))
    tasks = [str(task) for task in each.get("tasks") or []]
    kinds = {kind_of({}, task) for task in tasks} - {"other"}
    if not _is_identifier(identifier) or _is_closed(each) or (tasks and not kinds):
        return None
    return _described(identifier, each, kind=min(kinds, default="other"), bytes=int(each.get("file_size") or 0))


def _is_closed(described: dict[str, Any]) -> bool:
    return any(described.get(name) for name in ("gated", "login_required", "private"))


def _described(identifier: str, described: dict[str, Any], **fields: Any) -> ModelInfo:
    return ModelInfo(
        name=f"{PREFIX}{identifier}",
        title=identifier.rpartition("/")[2],
        source="modelscope",
        origin=f"{identifier} on ModelScope",
        licence=str(described.get("license") or "").lower(),
        downloads=int(described.get("downloads") or 0) or None,
        **fields,
    )


def _ask(identifier: str) -> ModelInfo:
    described = modelscope.describe(identifier)
    if _is_closed(described):
        raise refused(TITLE, f"{PREFIX}{identifier}", 403)
    files = modelscope.files(identifier)
    config, tokenizer = (modelscope.small_json(identifier, name) if name in files else {} for name in CONFIGS)
    has_weights = any(name.endswith(".safetensors") for name in needed_files(files))
    needs_trust = trust_reason(config, tokenizer, has_weights)
    return _described(
        identifier,
        described,
        needs_trust=needs_trust,
        fingerprint=_fingerprint(files) if needs_trust else "",
        **describe_files(config, tokenizer, {name: file.size for name, file in files.items()}),
    )


def _fingerprint(files: dict[str, ModelScopeFile]) -> str:
    """What the fingerprint of the downloaded folder will be. Empty, so that nobody can trust it, without checksums."""
    names = {name for name in files if name.endswith(".py") or name in CONFIGS}
    names |= set(needed_files(files, trusted=True)) & set(pickled_names(files))
    sums = {name: files[name].sha256 for name in names}
    return fingerprint_of_sums(sums) if all(sums.values()) else ""


def _download(info: ModelInfo, folder: Path, fetching: Fetching) -> None:
    """Download the needed files to a folder, and remove other files from it."""
    identifier = info.name.removeprefix(PREFIX)
    files = {name: file for name, file in modelscope.files(identifier).items() if name != RECORD}
    names = needed_files(files, fetching.trust)
    if fetching.trust and info.needs_trust and _fingerprint(files) != info.fingerprint:
        raise StudioError(
            "wrong-state",
            f"{info.title} has changed since you saw it.",
            given=info.name,
            hint="Check it again before you allow it.",
            field="model",
        )
    needed = [files[name] for name in names]
    parts = [_part(identifier, file, folder) for file in needed]
    kept = {path for part in parts for path in (part.target, part.partial)}
    for path in folder.iterdir():
        file = files.get(path.name)
        if path not in kept or (file and not matches(path, file.size, file.sha256)):
            path.unlink()
    check_space(folder, info.name, sum(part.missing for part in parts), CACHE_VARIABLE)
    total, done = sum(file.size for file in needed), 0
    for part in parts:
        part.run(partial(_report, fetching, done, total), fetching.should_stop)
        done += part.size
        fetching.progress(done, total)


def _report(fetching: Fetching, before: int, total: int, received: int) -> None:
    fetching.progress(before + received, total)


def _part(identifier: str, file: ModelScopeFile, folder: Path) -> FileDownload:
    return FileDownload(
        model=identifier,
        name=file.name,
        target=folder / file.name,
        size=file.size,
        sha256=file.sha256,
        open=partial(modelscope.open_file, identifier, file.name),
        unreachable=partial(unreachable, TITLE, identifier),
    )
