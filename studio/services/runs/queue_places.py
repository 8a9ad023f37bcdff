"""Places of a workspace's runs in the queue of the machine, within the limits of its owner."""

from studio.schema.errors import StudioError
from studio.schema.runs import RunRecord
from studio.services.context import Context


class QueuePlaces:
    """What of the queue a workspace may take. A visitor's turns and limits are shared by network address."""

    def __init__(self, context: Context) -> None:
        self.workspace, self.queue = context.workspace, context.home.queue

    def ask(self, run: str, again: bool = False) -> None:
        """Put a run into the queue; `limit-reached` when there are too many."""
        memory = self.workspace.runs.spec(run).memory_bytes
        name, address, limits = self.workspace.name, self.workspace.address, self.workspace.limits
        self.queue.enqueue(name, run, memory, again, owner=address, limits=limits)

    def require(self, run: str = "") -> None:
        """Refuse at once what `ask` would refuse."""
        self.queue.require_place(self.workspace.name, self.workspace.address, self.workspace.limits, run)

    def has_room(self, run: str = "") -> bool:
        """Whether the limits allow one more run."""
        try:
            self.require(run)
        except StudioError:
            return False
        return True

    def require_time(self, record: RunRecord) -> None:
        """Refuse a run that has trained for as long as the limits allow."""
        minutes, took = self.workspace.limits.run_minutes, (record.seconds or 0.0) / 60
        if minutes and took >= minutes:
            raise StudioError(
                "limit-reached",
                f"The run {record.name} has trained for as long as this demo allows.",
                given=f"{took:.0f} minutes",
                valid=f"up to {minutes:g} minutes for one run",
                hint="Keep its best step, or install the studio to train longer.",
            )
