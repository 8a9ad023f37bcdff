"""Base models: sources, download, inspection, and the rules for loading them.

This package does not depend on what is trained on a model. Only the processes that convert or make a model import torch
and transformers.
"""

from pathlib import Path

from studio.models.catalog import CATALOG
from studio.models.conversion.converters import CONVERTERS
from studio.models.downloads.download import Download
from studio.models.downloads.hub_files import disable_hub_access
from studio.models.inspect import inspect_folder
from studio.models.loading_rules import check_trust, loading_arguments, tokenizer_arguments
from studio.models.search import FoundModels, search_sources, searched_sources
from studio.models.sources import SOURCES, Fetching
from studio.models.sources.hub import HubSource
from studio.models.starters import STARTERS, check_starters, starter_folder
from studio.models.starters.install import fetch_starters
from studio.schema.errors import StudioError, nearest
from studio.schema.models import ModelInfo, ModelSource

__all__ = [
    "CONVERTERS",
    "SOURCES",
    "STARTERS",
    "Download",
    "Fetching",
    "FoundModels",
    "cached_folder",
    "cached_models",
    "check_starters",
    "check_trust",
    "disable_hub_access",
    "fetch_starters",
    "find_model",
    "inspect_folder",
    "loading_arguments",
    "search_sources",
    "searched_sources",
    "starter_folder",
    "tokenizer_arguments",
]

DOWNLOADING: tuple[ModelSource, ...] = ("hub", "modelscope", "kaggle", "torchhub")
"""Sources whose models are downloaded to a cache."""


def find_model(name: str, token: str | None = None) -> ModelInfo:
    """Return a starter by name, a folder or GGUF file by path, or a Hub model, cached or not. Raise `StudioError`.

    Also returns models that run their own code or have pickled weights. Their `needs_trust` gives the reason, and
    `check_trust` refuses them.
    """
    name = name.strip()
    try:
        for source in SOURCES.values():
            info = source.find(name, token)
            if info:
                return info
    except StudioError as error:
        known = next((entry.info for entry in CATALOG if entry.name == name), None)
        if known and error.code == "no-network":
            return known
        if "/" in name or ":" in name or error.code not in ("no-network", "no-such-model"):
            raise
    raise StudioError(
        "no-such-model",
        "There is no model with this name.",
        given=name or "nothing",
        valid=f"{', '.join(STARTERS)}, owner/name on the Hub, a folder, or a .gguf file",
        hint=nearest(name, [*STARTERS, *(info.name for info in cached_models())]),
        field="model",
    )


def cached_folder(name: str) -> Path | None:
    """Return the cache folder with a complete copy of a downloaded model, or None."""
    info = next((info for info in cached_models() if info.name == name), None)
    if info is None or info.path is None:
        return None
    return HubSource().folder(name) if info.source == "hub" else Path(info.path)


def cached_models() -> list[ModelInfo]:
    """Return the models with a complete copy in this machine's caches: of the Hub, ModelScope and others."""
    return [info for source in DOWNLOADING for info in SOURCES[source].known()]
