"""What a base model is: where it is from, what it can take, and whether it may be loaded.

It must not know what is trained on it. torch and transformers are imported only in the process that converts a
starter.
"""

from pathlib import Path

from studio.models.catalog import CATALOG
from studio.models.download import download
from studio.models.hub_files import ask_no_hub
from studio.models.inspect import inspect_folder
from studio.models.loading_rules import check_trust, loading_arguments, tokenizer_arguments
from studio.models.sources import SOURCES
from studio.models.sources.hub import HubSource
from studio.models.starter_install import fetch_starters
from studio.models.starters import STARTERS, check_starters, starter_folder
from studio.schema.errors import StudioError, nearest
from studio.schema.models import ModelInfo

__all__ = [
    "SOURCES",
    "STARTERS",
    "ask_no_hub",
    "cached_folder",
    "cached_models",
    "check_starters",
    "check_trust",
    "download",
    "fetch_starters",
    "find_model",
    "inspect_folder",
    "loading_arguments",
    "search_hub",
    "starter_folder",
    "tokenizer_arguments",
]


def find_model(name: str, token: str | None = None) -> ModelInfo:
    """A starter by its name, a folder by its path, or a Hub model, cached or not; else a StudioError.

    A model that would run code or unpickle is found too; `needs_trust` says so, and `check_trust` refuses it.
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
        if "/" in name or error.code not in ("no-network", "no-such-model"):
            raise
    raise StudioError(
        "no-such-model",
        "There is no model of that name.",
        given=name or "nothing",
        valid=f"{', '.join(STARTERS)}, owner/name of the Hub, or a folder",
        hint=nearest(name, [*STARTERS, *(info.name for info in cached_models())]),
        field="model",
    )


def cached_folder(name: str) -> Path | None:
    """Where the Hub's cache of this machine keeps a whole copy of a model, None when it has none."""
    return HubSource().folder(name) if any(info.name == name for info in cached_models()) else None


def cached_models() -> list[ModelInfo]:
    """Models of the Hub whose whole copy lies in the cache of this machine."""
    return SOURCES["hub"].known()


def search_hub(text: str, limit: int = 20, token: str | None = None) -> list[ModelInfo]:
    """Models of the Hub with this text in their names; StudioError `no-network` when it can't be asked."""
    return SOURCES["hub"].search(text.strip(), limit, token)
