"""What every place that base models come from can be asked."""

from typing import Protocol

from studio.schema.models import ModelInfo, ModelSource


class Source(Protocol):
    """One place: the starters, a folder of this machine, the Hub."""

    @property
    def name(self) -> ModelSource:
        """What it is called."""

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """The model of that name; None when the name is none of this source's; StudioError when it is broken."""

    def known(self) -> list[ModelInfo]:
        """What is here, or is declared, without asking the network."""

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Models whose name holds the text; a source that can't be searched has none."""
