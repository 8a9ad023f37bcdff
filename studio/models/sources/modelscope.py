"""ModelScope: models by `modelscope:owner/name`, downloaded to the studio's own cache."""

import re
from functools import partial
from pathlib import Path
from typing import Any

from studio.machine.disk import FULL
from studio.models import modelscope
from studio.models.architectures import architecture_of, context_of, kind_of, size_of
from studio.models.downloaded import (
    CACHE_VARIABLE,
    RECORD,
    complete_folder,
    downloaded_model,
    downloaded_models,
    folder_of,
)
from studio.models.fetching import Fetching
from studio.models.file_download import DownloadStopped, FileDownload, check_space, disk_full, matches
from studio.models.fingerprint import CONFIGS, fingerprint_of_sums
from studio.models.hub_cache import HUB_CACHE
from studio.models.hub_files import needed_files, pickled_names
from studio.models.inspect import quantized_by, trust_reason
from studio.models.loading_rules import check_trust
from studio.models.modelscope import TITLE, ModelScopeFile
from studio.models.source_errors import refused, require_online, unreachable
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

PREFIX = "modelscope:"
IDENTIFIER = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}", re.ASCII)
TWO_BYTES = ("float16", "bfloat16")


class ModelScopeSource:
    """Public models of ModelScope. No token is sent."""

    name: ModelSource = "modelscope"
    title = TITLE
    is_searched = True

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the downloaded model, else what ModelScope says about it, which is cached briefly."""
        if not name.startswith(PREFIX):
            return None
        identifier = _identifier(name)
        local = downloaded_model(self.name, name)
        if local is not None:
            return local
        require_online(TITLE, name)
        return HUB_CACHE.get((TITLE, modelscope.endpoint(), name), lambda: _ask(identifier))

    def fetch(self, info: ModelInfo, fetching: Fetching) -> ModelInfo:
        """Download a model. A stopped download resumes."""
        check_trust(info, fetching.trust)
        require_online(TITLE, info.name)
        folder = folder_of(self.name, info.name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _download(info, folder, fetching)
            complete_folder(folder, info)
        except DownloadStopped:
            return info
        except OSError as error:
            raise disk_full(info.name, variable=CACHE_VARIABLE) if error.errno in FULL else error from error
        return downloaded_model(self.name, info.name) or info

    def known(self) -> list[ModelInfo]:
        """Return the downloaded models."""
        return downloaded_models(self.name)

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Return models with this text in their names, the most downloaded first."""
        require_online(TITLE, text)
        key = (TITLE, modelscope.endpoint(), "search", text, limit)
        found = HUB_CACHE.get(key, lambda: [_listed(each) for each in modelscope.search(text, limit)])
        local = {info.name: info for info in self.known()}
        return [local.get(info.name, info) for info in found if info is not None]


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
    """Ask ModelScope for a model, its files and its settings."""
    described = modelscope.describe(identifier)
    if _is_closed(described):
        raise refused(TITLE, f"{PREFIX}{identifier}", 403)
    files = modelscope.files(identifier)
    config, tokenizer = (modelscope.small_json(identifier, name) if name in files else {} for name in CONFIGS)
    weights = [name for name in needed_files(files) if name.endswith(".safetensors")]
    needs_trust = trust_reason(config, tokenizer, bool(weights))
    size = sum(files[name].size for name in weights or pickled_names(files))
    width = 2 if str(config.get("dtype") or config.get("torch_dtype") or "") in TWO_BYTES else 4
    return _described(
        identifier,
        described,
        kind=kind_of(config),
        architecture=architecture_of(config),
        parameters=0 if quantized_by(config) else size // width,
        bytes=size,
        context=context_of(config, tokenizer),
        has_chat_template=bool(tokenizer.get("chat_template"))
        or any(name.startswith("chat_template.") for name in files),
        needs_trust=needs_trust,
        fingerprint=_fingerprint(files) if needs_trust else "",
        quantized=quantized_by(config),
        **size_of(config),
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
