"""Keys of the API, for the owner of the studio."""

from studio.schema.serving import ApiKey
from studio.services.context import Context
from studio.store.api_keys import ApiKeys as Stored

WHAT = "Managing API keys"


class ApiKeys:
    """The keys that open the API server."""

    def __init__(self, context: Context) -> None:
        self.context, self._stored = context, Stored(context.home)

    def all(self) -> list[ApiKey]:
        """All keys. Each has its name and a hash; the key itself is not stored."""
        self.context.require_owner(WHAT)
        return self._stored.all()

    def add(self, name: str) -> str:
        """Make a key and return it. It can't be shown again."""
        self.context.require_owner(WHAT)
        return self._stored.add(name)

    def remove(self, name: str) -> None:
        """Delete a key. Running servers refuse it from their next request on."""
        self.context.require_owner(WHAT)
        self._stored.remove(name)
