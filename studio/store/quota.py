"""Disk quotas of a demo's visitors, for one workspace and for all of them."""

import os
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from studio.schema.errors import StudioError
from studio.schema.limits import MB
from studio.store.home import Home, Workspace

FREE_SPACE = "Delete runs or datasets that you no longer need (Runs tab, Storage)."
TOTAL_SECONDS = 20.0
"""Seconds for which the total size of all workspaces is cached."""


MOST_VERSIONS, MOST_RUNS = 1_000, 300
"""Versions of all datasets, and runs, of a visitor. Each takes a few files, however small it is, and time on each page
that lists them."""


class Quota:
    """The disk space that a workspace may still use, and how many things. An owner has no quota."""

    def __init__(self, workspace: Workspace) -> None:
        self.home, self.root, self.workspace = workspace.home, workspace.root, workspace
        limits = workspace.limits
        self.own, self.total = limits.workspace_mb * MB, limits.total_mb * MB
        """Maximum bytes of the workspace, and of all visitors together. 0 for no limit."""

    def require_few(self, versions: int = 0, runs: int = 0) -> None:
        """Raise an error when a visitor has too many things for so many more.

        Raises:
            StudioError `limit-reached`: with the number that is allowed.
        """
        if not self.workspace.is_visitors:
            return
        row = self.workspace.db.row(
            "SELECT (SELECT COUNT(*) FROM versions) AS versions, (SELECT COUNT(*) FROM runs) AS runs"
        )
        assert row is not None
        if versions and row["versions"] + versions > MOST_VERSIONS:
            raise _too_many("You have as many versions of datasets as this demo allows.", MOST_VERSIONS)
        if runs and row["runs"] + runs > MOST_RUNS:
            raise _too_many("You have as many runs as this demo allows.", MOST_RUNS)

    def used(self) -> int:
        """Bytes of everything in the workspace: datasets, tokens, runs, checkpoints, exports."""
        return size_once(self.root)

    def left(self) -> int | None:
        """Bytes that may still be written, negative when the quota is exceeded. None without a limit."""
        remaining = [self.own - self.used()] if self.own else []
        remaining += [self.total - used_by_visitors(self.home)] if self.total else []
        return min(remaining, default=None)

    def require(self, bytes_needed: int, what: str = "This", hint: str = FREE_SPACE) -> None:
        """Raise an error when this many bytes exceed the quota.

        Raises:
            StudioError `limit-reached`: with the numbers.
        """
        if not self.own and not self.total:
            return
        used, needed = self.used(), f"{bytes_needed / MB:,.0f}"
        if self.own and used + bytes_needed > self.own:
            left, most = f"{max(0, self.own - used) / MB:,.0f}", f"{self.own / MB:,.0f}"
            raise StudioError(
                "limit-reached",
                f"{what} needs more disk space than a visitor has in this demo.",
                given=f"{needed} MB needed, {left} MB left",
                valid=f"up to {most} MB for datasets, runs and exports together",
                hint=hint,
            )
        if self.total and used_by_visitors(self.home) + bytes_needed > self.total:
            raise StudioError(
                "limit-reached",
                "The disk space for all visitors of this demo is used up.",
                given=f"{needed} MB needed",
                valid=f"up to {self.total / MB:,.0f} MB for all visitors together",
                hint="Try again later. Unused workspaces are deleted after some time.",
            )


def _too_many(what: str, most: int) -> StudioError:
    return StudioError("limit-reached", what, valid=f"up to {most:,}", hint=FREE_SPACE)


def used_by_visitors(home: Home) -> int:
    """Bytes of all visitors' workspaces. Cached for some seconds, since there may be hundreds."""
    return _total(home.root, int(time.monotonic() / TOTAL_SECONDS))


@lru_cache(maxsize=4)
def _total(root: Path, moment: int) -> int:
    home = Home(root)
    return sum(size_once(root / "workspaces" / name) for name in home.visitors())


def size_once(folder: Path) -> int:
    """Bytes of all files in a folder. A file with several names (hard links) counts once."""
    sizes: dict[tuple[int, int], int] = {}
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                status = os.lstat(os.path.join(above, name))
                sizes[status.st_dev, status.st_ino] = status.st_size
    return sum(sizes.values())
