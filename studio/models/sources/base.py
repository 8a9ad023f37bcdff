"""The interface of a source of base models."""

from typing import Protocol

from studio.schema.models import ModelInfo, ModelSource


class Source(Protocol):
    """One source: the starter models, a local folder, or the Hub."""

    @property
    def name(self) -> ModelSource:
        """The source's registered name."""

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the model with this name. None if the name does not belong to this source. Raise `StudioError`."""

    def known(self) -> list[ModelInfo]:
        """Return the models that are present or declared, without network requests."""

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Return the models whose names contain the text. Empty for a source that can't be searched."""
