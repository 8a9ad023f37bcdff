"""The interface of a source of base models."""

from typing import Protocol

from studio.models.downloads.fetching import Fetching
from studio.schema.models import ModelInfo, ModelSource


class Source(Protocol):
    """One source, for example the starter models, a GGUF file, a local folder, or the Hub."""

    @property
    def title(self) -> str:
        """Its name for people."""

    @property
    def is_searched(self) -> bool:
        """Whether the search box asks it."""

    @property
    def name(self) -> ModelSource:
        """The source's registered name."""

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the model with this name. None if the name does not belong to this source. Raise `StudioError`."""

    def fetch(self, info: ModelInfo, fetching: Fetching) -> ModelInfo:
        """Bring a model that `find` returned to this machine: download or convert it, and return it.

        If `should_stop` returns true, return `info` unchanged (not `here`). Raise `StudioError`.
        """

    def known(self) -> list[ModelInfo]:
        """Return the models that are present or declared, without network requests."""

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Return the models whose names contain the text. Empty for a source that can't be searched."""
