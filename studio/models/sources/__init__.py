"""Sources of base models, one module each, searched in this order."""

from studio.models.sources.base import Fetching, Source
from studio.models.sources.folder import FolderSource
from studio.models.sources.gguf import GgufSource
from studio.models.sources.hub import HubSource
from studio.models.sources.kaggle import KaggleSource
from studio.models.sources.modelscope import ModelScopeSource
from studio.models.sources.starter import StarterSource
from studio.models.sources.torchhub import TorchHubSource

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        StarterSource(),
        ModelScopeSource(),
        KaggleSource(),
        TorchHubSource(),
        GgufSource(),
        FolderSource(),
        HubSource(),
    )
}

__all__ = ["SOURCES", "Fetching", "Source"]
