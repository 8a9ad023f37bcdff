"""Models in folders of this machine."""

from pathlib import Path

from studio.models.downloads.fetching import Fetching
from studio.models.inspect import inspect_folder
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

LIKE_A_PATH = ("/", "./", "../", "~", ".\\")


class FolderSource:
    """Models by path. A server for visitors must not use this source."""

    name: ModelSource = "folder"
    title = "Folder"
    is_searched = False

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the model in a folder. None if the name is neither a folder nor looks like a path."""
        try:
            folder = Path(name).expanduser()
            is_folder = bool(name) and folder.is_dir()
        except (OSError, ValueError, RuntimeError):
            return None
        if is_folder:
            return inspect_folder(folder)
        if name.startswith(LIKE_A_PATH):
            raise StudioError(
                "no-such-model",
                "The folder does not exist on this machine.",
                given=name,
                valid="a folder with config.json, model.safetensors and a tokenizer, or a .gguf file",
                field="model",
            )
        return None

    def fetch(self, info: ModelInfo, fetching: Fetching) -> ModelInfo:
        """Return the model: a folder is always on this machine."""
        return info

    def known(self) -> list[ModelInfo]:
        """Return nothing: the studio does not scan the disk."""
        return []

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Return nothing: the studio does not scan the disk."""
        return []
