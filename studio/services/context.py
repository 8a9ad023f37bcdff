"""The context of a service: data folder, workspace, and rights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from studio.machine.environment import child_environment
from studio.machine.run_in_process import ProcessLimits, run_in_process
from studio.schema.errors import StudioError
from studio.store import Home, Workspace

Role = Literal["owner", "editor", "viewer"]


@dataclass(frozen=True)
class Context:
    """A workspace of a data folder. `demo`: the page is open to the public."""

    home: Home
    workspace: Workspace
    demo: bool = False
    role: Role = "owner"
    """In a team: the owner of the machine, an editor, or a viewer. ui/visitors/roles.py says what a viewer may do."""

    def owner_only(self, what: str) -> None:
        """Refuse in a demo what only the owner of the machine may do."""
        if self.demo:
            raise StudioError(
                "not-allowed",
                f"{what} is not available in a public demo.",
                hint="Install the studio to use it on your own machine.",
            )

    def require_owner(self, what: str) -> None:
        """Refuse what only the owner may do, in a demo and to the other members of a team."""
        self.owner_only(what)
        if self.role != "owner":
            raise StudioError(
                "not-allowed",
                f"{what} is only for the owner of this studio.",
                hint="Ask the owner, who logs in with the owner's password.",
            )


def run_for_workspace(context: Context, function: str, arguments: Mapping[str, Any], seconds: float) -> Any:
    """The result of a worker's function in a process of its own, without the Hub, and for a visitor without secrets.

    It also gets the data folder and the workspace as `home` and `workspace`. Errors are those of `run_in_process`.
    """
    place = {"home": str(context.home.root), "workspace": context.workspace.name}
    environment = {"HF_HUB_OFFLINE": "1", **child_environment(context.workspace.is_visitors)}
    limits = ProcessLimits(seconds=seconds, environment=environment, threads=None)
    return run_in_process(function, {**place, **arguments}, limits)
