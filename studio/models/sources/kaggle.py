"""Kaggle Models: variants by `kaggle:owner/model/transformers/variation`, downloaded to the studio's own cache."""

import os
import re
import shutil
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import Any

from studio.machine.disk import FULL
from studio.machine.run_in_process import ProcessCancelled, ProcessError, ProcessLimits, run_in_process
from studio.models.architectures import architecture_of, context_of, kind_of, size_of
from studio.models.downloaded import (
    CACHE_VARIABLE,
    RECORD,
    complete_folder,
    downloaded_model,
    downloaded_models,
    folder_of,
)
from studio.models.file_download import check_space, disk_full
from studio.models.hub_cache import HUB_CACHE
from studio.models.hub_files import needed_files
from studio.models.inspect import quantized_by, read_json, trust_reason
from studio.models.kaggle import TITLE, folder_below
from studio.models.source_errors import require_online, unreachable
from studio.models.sources.base import Fetching
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

PREFIX = "kaggle:"
HANDLE = re.compile(r"([\w-]{1,80})/([\w.-]{1,80})/(\w{1,40})/([\w.-]{1,80})(?:/(\d{1,6}))?", re.ASCII)
USABLE = ("transformers", "pytorch")
"""Frameworks whose variants can be folders of transformers."""
SECONDS = 20.0
SEARCH_SECONDS = 6.0
TWO_BYTES = ("float16", "bfloat16")
PARTS = ".parts"
"""In a model's folder: kagglehub's own folders, until the download is complete."""


class KaggleSource:
    """Models of Kaggle, if kagglehub is installed."""

    name: ModelSource = "kaggle"
    title = TITLE

    @property
    def is_searched(self) -> bool:
        """Whether kagglehub is installed."""
        return find_spec("kagglehub") is not None

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the downloaded variant, else what Kaggle says about it, which is cached briefly."""
        if not name.startswith(PREFIX):
            return None
        local = downloaded_model(self.name, name)
        if local is not None:
            return local
        handle = _handle(name)
        _require_kagglehub(name)
        require_online(TITLE, name)
        return HUB_CACHE.get((TITLE, name), lambda: _ask(name, handle))

    def fetch(self, info: ModelInfo, fetching: Fetching) -> ModelInfo:
        """Download a variant. A stopped download resumes."""
        _require_kagglehub(info.name)
        require_online(TITLE, info.name)
        try:
            _download(info, fetching)
        except ProcessCancelled:
            return info
        except OSError as error:
            raise disk_full(info.name, variable=CACHE_VARIABLE) if error.errno in FULL else error from error
        return downloaded_model(self.name, info.name) or info

    def known(self) -> list[ModelInfo]:
        """Return the downloaded variants."""
        return downloaded_models(self.name)

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Return transformers variants of the models that Kaggle finds for this text."""
        require_online(TITLE, text)
        found = HUB_CACHE.get((TITLE, "search", text, limit), lambda: _search(text, limit))
        local = {info.name: info for info in self.known()}
        return [local.get(info.name, info) for info in found]


def _handle(name: str) -> str:
    """The handle in a name. Raise `StudioError` for a name that is none, or a framework that can't be used."""
    found = HANDLE.fullmatch(name.removeprefix(PREFIX))
    if found is None or ".." in name:
        raise StudioError(
            "no-such-model",
            "This is not the name of a model on Kaggle.",
            given=name,
            valid="kaggle:owner/model/framework/variation, for example kaggle:google/gemma-3/transformers/gemma-3-270m",
            field="model",
        )
    framework = found[3].lower()
    if framework == "keras":
        raise StudioError(
            "wrong-model",
            "A Keras variant can't be a base model.",
            given=name,
            valid="a transformers variant of the model",
            hint="Or convert it with keras-hub (export_to_transformers), and add that folder.",
            field="model",
        )
    if framework not in USABLE:
        raise StudioError(
            "wrong-model",
            f"A {found[3]} variant can't be a base model.",
            given=name,
            valid="a transformers variant of the model",
            field="model",
        )
    return found[0]


def _require_kagglehub(name: str) -> None:
    if find_spec("kagglehub") is None:
        raise StudioError(
            "not-allowed",
            "Models of Kaggle need the package kagglehub.",
            given=name,
            hint='Install it with: pip install "finetune-studio[kaggle]"',
            field="model",
        )


def _run(function: str, arguments: dict[str, Any], seconds: float | None, cancel: Event | None = None) -> Any:
    """Call a function of studio.models.kaggle in a process of its own."""
    try:
        return run_in_process(
            f"studio.models.kaggle:{function}", arguments, ProcessLimits(seconds=seconds), cancel=cancel
        )
    except ProcessCancelled:
        raise
    except ProcessError as error:
        raise unreachable(TITLE, str(arguments.get("handle") or arguments.get("text"))) from error


def _search(text: str, limit: int) -> list[ModelInfo]:
    found = _run("search", {"text": text, "limit": limit}, SEARCH_SECONDS)
    return [
        ModelInfo(
            name=f"{PREFIX}{each['handle']}",
            title=str(each["title"]),
            source="kaggle",
            kind="other",
            origin=f"{each['handle']} on Kaggle",
            revision=str(each["version"]),
            licence=str(each["license"] or ""),
            bytes=int(each["bytes"] or 0),
        )
        for each in found
        if HANDLE.fullmatch(str(each["handle"]))
    ]


def _ask(name: str, handle: str) -> ModelInfo:
    """Ask Kaggle for a variant, its files and its settings."""
    parts = folder_of("kaggle", name) / PARTS
    parts.mkdir(parents=True, exist_ok=True)
    described = _run("describe", {"handle": handle, "cache": str(parts)}, SECONDS)
    version, files = int(described["version"]), {str(key): int(value) for key, value in described["files"].items()}
    folder = folder_below(parts, handle, version)
    config, tokenizer = (read_json(folder / each) for each in ("config.json", "tokenizer_config.json"))
    weights = [each for each in needed_files(files) if each.endswith(".safetensors")]
    reason = trust_reason(config, tokenizer, bool(weights))
    if reason or not config:
        raise StudioError(
            "unsafe-model" if reason else "broken-model",
            f"The studio does not download this model. {reason}".strip(),
            given=name,
            valid="a variant with config.json, model.safetensors and a tokenizer",
            hint="Or download it yourself, and add its folder on the Model tab.",
            field="model",
        )
    size = sum(files[each] for each in weights)
    width = 2 if str(config.get("dtype") or config.get("torch_dtype") or "") in TWO_BYTES else 4
    owner, model, framework, variation = handle.split("/")[:4]
    return ModelInfo(
        name=name,
        title=f"{model}, {variation}",
        source="kaggle",
        kind=kind_of(config),
        architecture=architecture_of(config),
        origin=f"{owner}/{model}/{framework}/{variation}, version {version}, on Kaggle",
        revision=str(version),
        parameters=0 if quantized_by(config) else size // width,
        bytes=size,
        licence=str(described["license"] or ""),
        context=context_of(config, tokenizer),
        has_chat_template=bool(tokenizer.get("chat_template"))
        or any(each.startswith("chat_template.") for each in files),
        quantized=quantized_by(config),
        **size_of(config),
    )


def _download(info: ModelInfo, fetching: Fetching) -> None:
    """Download the needed files of the newest version, and put them into the model's folder."""
    handle, folder = _handle(info.name), folder_of("kaggle", info.name)
    parts = folder / PARTS
    parts.mkdir(parents=True, exist_ok=True)
    described = _run("describe", {"handle": handle, "cache": str(parts)}, SECONDS)
    version, files = int(described["version"]), {str(key): int(value) for key, value in described["files"].items()}
    names = [each for each in needed_files(files) if each != RECORD]
    total, source = sum(files[each] for each in names), folder_below(parts, handle, version)
    present = sum(each.stat().st_size for each in source.glob("*") if each.name in names)
    check_space(folder, info.name, max(total - present, 0), CACHE_VARIABLE)
    versioned = "/".join([*handle.split("/")[:4], str(version)])
    cancel, ended = Event(), Event()
    paths = [source / each for each in names]
    watcher = Thread(target=_watch, args=(paths, total, fetching, cancel, ended), daemon=True)
    watcher.start()
    try:
        _run("download", {"handle": versioned, "names": names, "cache": str(parts)}, None, cancel)
    finally:
        ended.set()
        watcher.join()
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
    for each in names:
        os.replace(source / each, folder / each)
    shutil.rmtree(parts)
    complete_folder(folder, info.model_copy(update={"revision": str(version)}))
    fetching.progress(total, total)


def _watch(paths: list[Path], total: int, fetching: Fetching, cancel: Event, ended: Event) -> None:
    """Report the bytes received, and cancel the download when it should stop."""
    while not ended.wait(0.2):
        if fetching.should_stop():
            cancel.set()
        received = sum(path.stat().st_size for path in paths if path.exists())
        fetching.progress(min(received, total), total)
