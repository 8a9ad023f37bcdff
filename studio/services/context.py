"""For whom a service works: the home, the workspace, and whether strangers are looking."""

from dataclasses import dataclass

from studio.schema.errors import StudioError
from studio.store import Home, Workspace


@dataclass(frozen=True)
class Context:
    """A workspace of a home; `demo` says that the page is open to anybody."""

    home: Home
    workspace: Workspace
    demo: bool = False

    def owner_only(self, what: str) -> None:
        """Refuse in a demo what only the owner of the machine may do."""
        if self.demo:
            raise StudioError(
                "not-allowed",
                f"{what} is not offered in a public demo.",
                hint="Install the studio to use it on your own machine.",
            )
