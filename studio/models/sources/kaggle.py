"""Kaggle Models: variants by `kaggle:owner/model/transformers/variation`, downloaded to the studio's own cache.

Keras variants are presets of KerasHub. They are converted when they are downloaded.
"""

import os
import re
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Any

from studio.machine.run_in_process import ProcessCancelled, ProcessError, ProcessLimits, run_in_process
from studio.models.conversion.converters import Conversion, convert, require_converter
from studio.models.conversion.keras_preset import KerasPreset, read_preset
from studio.models.downloads.downloaded import CACHE_VARIABLE, RECORD
from studio.models.downloads.fetching import Fetching
from studio.models.downloads.file_download import check_space
from studio.models.downloads.hub_files import needed_files
from studio.models.downloads.kaggle import TITLE, folder_below
from studio.models.downloads.source_errors import unreachable
from studio.models.inspect import read_json, trust_reason
from studio.models.sources.converted_folder import describe_preset
from studio.models.sources.downloading import DownloadingSource, describe_files
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

PREFIX = "kaggle:"
HANDLE = re.compile(r"([\w-]{1,80})/([\w.-]{1,80})/(\w{1,40})/([\w.-]{1,80})(?:/(\d{1,6}))?", re.ASCII)
KERAS = "keras"
USABLE = ("transformers", "pytorch", KERAS)
"""Frameworks whose variants can be folders of transformers, or can be converted to them."""
SECONDS = 20.0
SEARCH_SECONDS = 6.0
PARTS = ".parts"
"""In a model's folder: kagglehub's own folders, until the download is complete."""


class KaggleSource(DownloadingSource):
    """Models of Kaggle, if kagglehub is installed."""

    name: ModelSource = "kaggle"
    title = TITLE
    prefix = PREFIX

    @property
    def is_searched(self) -> bool:
        """Whether kagglehub is installed."""
        return find_spec("kagglehub") is not None

    def require_server(self, given: str) -> None:
        """Raise `StudioError` without kagglehub, or without a network."""
        _require_kagglehub(given)
        super().require_server(given)

    def check_name(self, name: str) -> None:
        """Raise `StudioError` unless it is `kaggle:owner/model/framework/variation` of a framework that can be used."""
        _handle(name)

    def ask(self, name: str) -> ModelInfo:
        """Ask Kaggle for a variant, its files and its settings. Nothing of it is kept."""
        with tempfile.TemporaryDirectory(prefix="studio-kaggle-") as cache:
            return _ask(name, Path(cache))

    def ask_for_models(self, text: str, limit: int) -> list[ModelInfo]:
        """Ask Kaggle for the usable variants of the models that it finds for this text."""
        return _search(text, limit)

    def download(self, info: ModelInfo, folder: Path, fetching: Fetching) -> ModelInfo:
        """Download the needed files of the newest version, and convert a Keras variant."""
        return _download(info, folder, fetching)


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
    if framework not in USABLE:
        raise StudioError(
            "wrong-model",
            f"A {found[3]} variant can't be a base model.",
            given=name,
            valid="a transformers or Keras variant of the model",
            field="model",
        )
    return found[0]


def _is_keras(handle: str) -> bool:
    return handle.split("/")[2].lower() == KERAS


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
    """Call a function of studio.models.downloads.kaggle in a process of its own."""
    try:
        return run_in_process(
            f"studio.models.downloads.kaggle:{function}", arguments, ProcessLimits(seconds=seconds), cancel=cancel
        )
    except ProcessCancelled:
        raise
    except ProcessError as error:
        raise unreachable(TITLE, str(arguments.get("handle") or arguments.get("text"))) from error


def _search(text: str, limit: int) -> list[ModelInfo]:
    models = _run("search", {"text": text, "limit": limit}, SEARCH_SECONDS)
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
        for each in models
        if HANDLE.fullmatch(str(each["handle"]))
    ]


def _describe(handle: str, cache: Path) -> tuple[str, dict[str, int], Path, str]:
    """Ask for a variant. Returns its version, its files with their sizes, their folder, and its license."""
    described = _run("describe", {"handle": handle, "cache": str(cache)}, SECONDS)
    files = {str(key): int(value) for key, value in described["files"].items()}
    version = int(described["version"])
    return str(version), files, folder_below(cache, handle, version), str(described["license"] or "")


def _ask(name: str, cache: Path) -> ModelInfo:
    handle = _handle(name)
    version, files, folder, licence = _describe(handle, cache)
    owner, model, framework, variation = handle.split("/")[:4]
    facts = {
        "name": name,
        "title": f"{model}, {variation}",
        "source": "kaggle",
        "origin": f"{owner}/{model}/{framework}/{variation}, version {version}, on Kaggle",
        "revision": version,
        "licence": licence,
    }
    if _is_keras(handle):
        described = describe_preset(_preset(name, files, folder))
    else:
        described = _described_folder(name, files, folder)
    return ModelInfo.model_validate({**facts, **described})


def _preset(name: str, files: dict[str, int], folder: Path) -> KerasPreset:
    return read_preset(lambda each: read_json(folder / each), files, name)


def _described_folder(name: str, files: dict[str, int], folder: Path) -> dict[str, object]:
    """What the files of a transformers variant declare. Raise `StudioError` for one that can't be used."""
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
    return describe_files(config, tokenizer, files)


def _download(info: ModelInfo, folder: Path, fetching: Fetching) -> ModelInfo:
    """Put the files of the newest version into the model's folder. Until all are there, they are in `PARTS`."""
    handle, cache = _handle(info.name), folder / PARTS
    if _is_keras(handle):
        require_converter("keras", fetching)
    cache.mkdir(exist_ok=True)
    version, files, source, licence = _describe(handle, cache)
    preset = _preset(info.name, files, source) if _is_keras(handle) else None
    names = list(preset.files) if preset else [each for each in needed_files(files) if each != RECORD]
    total = sum(files[each] for each in names)
    local_files = [source / each for each in names]
    present = sum(map(_received, local_files))
    check_space(folder, info.name, max(total - present, 0), CACHE_VARIABLE)
    versioned = "/".join([*handle.split("/")[:4], version])
    with fetching.watching_bytes(lambda: sum(map(_received, local_files)), total) as cancel:
        _run("download", {"handle": versioned, "names": names, "cache": str(cache)}, None, cancel)
    note = info.note
    if preset:
        paths = {each: source / each for each in names}
        conversion = Conversion(
            "keras", info.name, info.title, paths, preset.architecture, preset.parameters, preset.dtype, licence
        )
        source = cache / "converted"
        shutil.rmtree(source, ignore_errors=True)
        note = convert(conversion, source, fetching) or ""
        if not note:
            raise ProcessCancelled("wrong-state", "The conversion was canceled.")
        names = [each.name for each in source.iterdir()]
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
    for each in names:
        os.replace(source / each, folder / each)
    shutil.rmtree(cache)
    fetching.progress(total, total)
    return info.model_copy(update={"revision": version, "note": note})


def _received(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
