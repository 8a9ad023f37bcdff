"""Sources of base models, one module each, searched in this order."""

from studio.models.sources.base import Source
from studio.models.sources.folder import FolderSource
from studio.models.sources.hub import HubSource
from studio.models.sources.starter import StarterSource

SOURCES: dict[str, Source] = {source.name: source for source in (StarterSource(), FolderSource(), HubSource())}

__all__ = ["SOURCES", "Source"]
