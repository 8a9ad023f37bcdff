"""The context of a service: data folder, workspace, and rights."""

from dataclasses import dataclass
from typing import Literal

from studio.schema.errors import StudioError
from studio.store import Home, Workspace

Role = Literal["owner", "member"]


@dataclass(frozen=True)
class Context:
    """A workspace of a data folder. `demo`: the page is open to the public."""

    home: Home
    workspace: Workspace
    demo: bool = False
    role: Role = "owner"
    """In a team: the owner of the machine, or a member."""

    def owner_only(self, what: str) -> None:
        """Refuse in a demo what only the owner of the machine may do."""
        if self.demo:
            raise StudioError(
                "not-allowed",
                f"{what} is not offered in a public demo.",
                hint="Install the studio to use it on your own machine.",
            )

    def require_owner(self, what: str) -> None:
        """Refuse what only the owner may do, in a demo and to the other members of a team."""
        self.owner_only(what)
        if self.role != "owner":
            raise StudioError(
                "not-allowed",
                f"{what} is for the owner of this studio only.",
                hint="Ask the person who runs this studio: they log in with the owner's password.",
            )
