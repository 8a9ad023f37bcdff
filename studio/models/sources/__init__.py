"""Sources of base models, one module each.

A name is looked up in this order. A search lists the results of the last one first.
"""

from studio.models.sources.base import Fetching, Source
from studio.models.sources.converted_folder import ConvertedFolderSource
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
        KaggleSource(),
        ModelScopeSource(),
        TorchHubSource(),
        GgufSource(),
        ConvertedFolderSource("keras"),
        ConvertedFolderSource("tensorflow"),
        FolderSource(),
        HubSource(),
    )
}

__all__ = ["SOURCES", "Fetching", "Source"]
