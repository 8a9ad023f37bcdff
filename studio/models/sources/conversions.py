"""What the sources share whose models are converted from files of this machine: the folders of the conversions."""

import hashlib
import os
from abc import ABC, abstractmethod
from pathlib import Path

from studio.models.inspect import read_json
from studio.models.starters import cache_folder
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource


class ConvertingSource(ABC):
    """A source of models by a path. Each is converted once, to a folder with the file `record`."""

    is_searched = False
    record: str
    """In a folder: what it was made from."""
    original: str
    """The name in the record under which the path of the original is."""

    @property
    @abstractmethod
    def name(self) -> ModelSource:
        """The source's registered name."""

    @abstractmethod
    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the converted model, or what its files declare."""

    def known(self) -> list[ModelInfo]:
        """Return the converted models."""
        infos = []
        for record in sorted((cache_folder() / self.name).glob(f"*/{self.record}")):
            try:
                info = self.find(str(read_json(record).get(self.original, "")))
            except StudioError:
                continue
            infos += [info] if info and info.here else []
        return infos

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Return the converted models whose path contains the text."""
        return [info for info in self.known() if text.casefold() in info.name.casefold()][:limit]


def conversion_folder(source: ModelSource, original: Path) -> Path:
    """Return the cache folder for the conversion of a file or folder. The conversion may not exist yet."""
    return cache_folder() / source / hashlib.sha256(os.fsencode(original)).hexdigest()[:24]
