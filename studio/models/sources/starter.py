"""The two starters: with no network once they are here."""

from studio.models.catalog import starter_info
from studio.models.inspect import inspect_folder
from studio.models.starters import STARTERS, origin_of, starter_folder
from studio.schema.models import ModelInfo, ModelSource


class StarterSource:
    """Starters by their own names."""

    name: ModelSource = "starter"

    def find(self, name: str, token: str | None = None) -> ModelInfo | None:
        """The starter as its folder describes it, or as it is declared while it is not here."""
        if name not in STARTERS:
            return None
        starter, origin = STARTERS[name], origin_of(name)
        if origin is None:
            return starter_info(starter)
        found = inspect_folder(starter_folder(name), name, starter.title, "starter")
        return found.model_copy(
            update={
                "origin": str(origin["says"]),
                "hub_id": starter.hub_id,
                "revision": origin.get("revision"),
                "licence": starter.licence,
                "languages": starter.languages,
                "note": starter.note if origin["source"] == "package" else "",
            }
        )

    def known(self) -> list[ModelInfo]:
        """Both, here or not."""
        return [info for name in STARTERS if (info := self.find(name))]

    def search(self, text: str, limit: int, token: str | None = None) -> list[ModelInfo]:
        """By name or title."""
        text = text.casefold()
        return [info for info in self.known() if text in f"{info.name} {info.title}".casefold()][:limit]
