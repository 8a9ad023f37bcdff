"""`Studio(home)`: everything a person can do, as plain Python. Page and command line are two ways in."""

from studio.api.apart import ApartDoor
from studio.api.base import Shared
from studio.api.choosing import ChoosingDoor
from studio.api.curves import CurvesDoor
from studio.api.data import DataDoor
from studio.api.improving import ImprovingDoor
from studio.api.keeping import KeepingDoor
from studio.api.labeling import LabellingDoor
from studio.api.results import ResultsDoor
from studio.api.searching import SearchDoor
from studio.api.seeing import SeeingDoor
from studio.services.context import Role


class Studio(
    ApartDoor,
    ChoosingDoor,
    DataDoor,
    SeeingDoor,
    ImprovingDoor,
    LabellingDoor,
    SearchDoor,
    CurvesDoor,
    KeepingDoor,
    ResultsDoor,
):
    """One workspace of a home. All refusals are `StudioError`."""

    def visitor(self, workspace: str, role: Role = "owner") -> "Studio":
        """The same studio for another workspace, or for a member of the team."""
        return Studio(self.home, workspace, self.context.demo, self.shared, role)


__all__ = ["Shared", "Studio"]
