"""Disk space of a demo's visitors: what a workspace and all of them take, and what they may take."""

import os
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from studio.schema.errors import StudioError
from studio.schema.limits import MB
from studio.store.home import Home, Workspace

TOTAL_SECONDS = 20.0
"""For which the size of all workspaces together is taken as known."""


class Quota:
    """The disk space that a workspace may still take. An owner has no quota but the disk."""

    def __init__(self, workspace: Workspace) -> None:
        self.home, self.root = workspace.home, workspace.root
        limits = workspace.limits
        self.own, self.total = limits.workspace_mb * MB, limits.total_mb * MB
        """Bytes that the workspace, and all visitors together, may take; 0 for no limit."""

    def used(self) -> int:
        """Bytes of everything in the workspace: datasets, tokens, runs, checkpoints, exports."""
        return size_once(self.root)

    def left(self) -> int | None:
        """Bytes that may still be written, less than 0 when there are too many; None without a limit."""
        lefts = [self.own - self.used()] if self.own else []
        lefts += [self.total - used_by_visitors(self.home)] if self.total else []
        return min(lefts, default=None)

    def require(self, bytes_needed: int, what: str = "This", else_do: str = "") -> None:
        """Refuse what would take more than is left. `else_do` names another way out than making room.

        Raises:
            StudioError `limit-reached`: with the numbers.
        """
        if not self.own and not self.total:
            return
        used = self.used()
        if self.own and used + bytes_needed > self.own:
            raise StudioError(
                "limit-reached",
                f"{what} needs more disk space than this demo gives to a visitor.",
                given=f"{bytes_needed / MB:,.0f} MB needed, {max(0, self.own - used) / MB:,.0f} MB left",
                valid=f"up to {self.own / MB:,.0f} MB for datasets, runs and exports together",
                hint=f"Delete runs or datasets that you no longer need (Storage, under Runs){else_do}.",
            )
        if self.total and used_by_visitors(self.home) + bytes_needed > self.total:
            raise StudioError(
                "limit-reached",
                "The disk space for all visitors of this demo is used up.",
                given=f"{bytes_needed / MB:,.0f} MB needed",
                valid=f"up to {self.total / MB:,.0f} MB for all visitors together",
                hint="Try again later: workspaces without visits are deleted.",
            )


def used_by_visitors(home: Home) -> int:
    """Bytes of the workspaces of all visitors; known for some seconds, since there may be hundreds of them."""
    return _total(home.root, int(time.monotonic() / TOTAL_SECONDS))


@lru_cache(maxsize=4)
def _total(root: Path, moment: int) -> int:
    home = Home(root)
    return sum(size_once(root / "workspaces" / name) for name in home.visitors())


def size_once(folder: Path) -> int:
    """Bytes of all files in a folder; a file that has several names, as a run's rows have, counts once."""
    sizes: dict[tuple[int, int], int] = {}
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                found = os.lstat(os.path.join(above, name))
                sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())
