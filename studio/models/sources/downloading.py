"""What Kaggle and ModelScope share: models are described by a server, and downloaded to the studio's own cache."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.machine.disk import FULL
from studio.machine.run_in_process import ProcessCancelled
from studio.models.architectures import architecture_of, context_of, kind_of, size_of
from studio.models.downloads.downloaded import (
    CACHE_VARIABLE,
    complete_folder,
    downloaded_model,
    downloaded_models,
    folder_of,
)
from studio.models.downloads.fetching import Fetching
from studio.models.downloads.file_download import DownloadStopped, disk_full
from studio.models.downloads.hub_cache import HUB_CACHE
from studio.models.downloads.hub_files import needed_files, pickled_names
from studio.models.downloads.source_errors import require_online
from studio.models.inspect import quantized_by, width_of
from studio.models.loading_rules import check_trust
from studio.schema.models import ModelInfo, ModelSource


class DownloadingSource(ABC):
    """A source whose models are asked for by `prefix` and a name. What the server says is cached briefly."""

    name: ModelSource
    title: str
    prefix: str

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the downloaded model, else what the server says about it. Raise `StudioError` for an invalid name."""
        if not name.startswith(self.prefix):
            return None
        self.check_name(name)
        local = downloaded_model(self.name, name)
        if local is not None:
            return local
        self.require_server(name)
        return HUB_CACHE.get((self.title, self.endpoint(), name), lambda: self.ask(name))

    def fetch(self, info: ModelInfo, fetching: Fetching) -> ModelInfo:
        """Download a model. A stopped download resumes."""
        check_trust(info, fetching.trust)
        self.require_server(info.name)
        folder = folder_of(self.name, info.name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            complete_folder(folder, self.download(info, folder, fetching))
        except (DownloadStopped, ProcessCancelled):
            return info
        except OSError as error:
            raise disk_full(info.name, variable=CACHE_VARIABLE) if error.errno in FULL else error from error
        return downloaded_model(self.name, info.name) or info

    def known(self) -> list[ModelInfo]:
        """Return the downloaded models."""
        return downloaded_models(self.name)

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Return the models that the server finds for this text, in its order."""
        self.require_server(text)
        key = (self.title, self.endpoint(), "search", text, limit)
        models = HUB_CACHE.get(key, lambda: self.ask_for_models(text, limit))
        local = {info.name: info for info in self.known()}
        return [local.get(info.name, info) for info in models]

    def endpoint(self) -> str:
        """Return the address of the server, if it can be changed."""
        return ""

    def require_server(self, given: str) -> None:
        """Raise `StudioError` if the server can't be asked on this machine."""
        require_online(self.title, given)

    @abstractmethod
    def check_name(self, name: str) -> None:
        """Raise `StudioError` for a name that no model of the source can have."""

    @abstractmethod
    def ask(self, name: str) -> ModelInfo:
        """Ask the server for a model."""

    @abstractmethod
    def ask_for_models(self, text: str, limit: int) -> list[ModelInfo]:
        """Ask the server for models with this text."""

    @abstractmethod
    def download(self, info: ModelInfo, folder: Path, fetching: Fetching) -> ModelInfo:
        """Download the files of a model to a folder. Return the model as its record describes it.

        Raise `DownloadStopped` or `ProcessCancelled` if it was stopped.
        """


def describe_files(config: dict[str, Any], tokenizer: dict[str, Any], files: Mapping[str, int]) -> dict[str, Any]:
    """Return the fields of `ModelInfo` that config.json, tokenizer_config.json and the sizes of all files declare."""
    weights = [name for name in needed_files(files) if name.endswith(".safetensors")] or pickled_names(files)
    size = sum(files[name] for name in weights)
    return {
        "kind": kind_of(config),
        "architecture": architecture_of(config),
        "parameters": 0 if quantized_by(config) else size // width_of(config),
        "bytes": size,
        "context": context_of(config, tokenizer),
        "has_chat_template": bool(tokenizer.get("chat_template"))
        or any(name.startswith("chat_template.") for name in files),
        "quantized": quantized_by(config),
        **size_of(config),
    }
