"""Limits of what a visitor of a demo saves by labeling. The owner of the machine has none."""

from collections.abc import Sequence

from studio.schema.errors import StudioError
from studio.schema.labeling import Fact
from studio.store import Workspace
from studio.store.quota import FREE_SPACE, Quota

MAX_FACTS = 50_000
"""Most labels and other actions of a visitor, in all datasets. The server has those of an open dataset in memory."""


def require_room(workspace: Workspace, facts: Sequence[Fact]) -> None:
    """Refuse more facts than a visitor may have, or than fit into the visitor's disk space."""
    most = MAX_FACTS
    if workspace.is_visitors and facts and workspace.labels.count() + len(facts) > most:
        raise StudioError(
            "limit-reached",
            "Your datasets have as many labels and other actions as this demo allows.",
            valid=f"up to {most:,}",
            hint=FREE_SPACE,
        )
    require_disk_space(workspace, *(fact.value or "" for fact in facts))


def require_disk_space(workspace: Workspace, *texts: str) -> None:
    """Refuse texts for which a visitor has too little disk space."""
    Quota(workspace).require(sum(len(text.encode(errors="replace")) for text in texts), "This label")
