"""Open workspaces, admission of a demo's visitors, and deletion of unused workspaces."""

import logging
import shutil
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from studio.api import Studio
from studio.machine.descriptors import descriptor_limit
from studio.schema.errors import StudioError
from studio.schema.limits import Limits
from studio.services.context import Role
from studio.store.removal import remove_workspace, sweep_removed
from studio.ui.http.rate_limits import Rate
from studio.ui.jobs import JOBS

MOST_OPEN = 64
"""Workspaces whose databases may be open at the same time; each holds up to six files."""
IN_USE_SECONDS = 15.0
"""A workspace is in use if a page has requested it within this many seconds."""
NOTE_SECONDS = 300.0
"""How often a visit is noted on the disk."""
SWEEP_SECONDS = 600.0
OF_ONE_ADDRESS = 4
"""One network address has at most this part of all workspaces, so that it can't fill a demo by coming every hour."""
_log = logging.getLogger("studio.ui")


class Workspaces:
    """The Studios of recently used workspaces. Others are closed, and opened again when needed."""

    def __init__(self, root: Studio, limits: Limits) -> None:
        self._root, self._limits = root, limits
        self._open: OrderedDict[tuple[str, Role], Studio] = OrderedDict()
        self._used: dict[str, float] = {}
        """Workspace → when a page last asked for it."""
        self._noted: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """Workspace → address and time of the last visit that was noted."""
        self._created = Rate(3600)
        self._lock, self._admitting = threading.Lock(), threading.RLock()
        self.most_open = max(4, min(MOST_OPEN, (descriptor_limit() - 128) // 8))

    def studio(self, workspace: str, role: Role = "owner", demo: bool = False) -> Studio:
        """The Studio of a workspace. `demo`: whether the rules of a public demo apply to it."""
        key = workspace, role
        with self._lock:
            self._used[workspace] = time.monotonic()
            open_studio = self._open.get(key)
            if open_studio is not None:
                self._open.move_to_end(key)
        if open_studio is not None:
            return open_studio
        opened = self._root.visitor(workspace, role, demo)  # reads the disk, so not under the lock
        opened.reconcile()  # so that the first page shows no state of a worker that is gone
        with self._lock:
            open_studio = self._open.setdefault(key, opened)
            self._open.move_to_end(key)
            closed = [self._take_oldest() for _ in range(len(self._open) - self.most_open)]
        for each in closed:
            each.context.workspace.close()
        return open_studio

    def _take_oldest(self) -> Studio:
        """Remove an open workspace: of the address with the most of them, the one that was used longest ago.

        So one address can't close those of others. Visitors who have not written anything count as one address.
        """
        addresses = {key: self.address_of(key[0]) for key in self._open}
        most = Counter(addresses.values()).most_common(1)[0][0]
        return self._open.pop(next(key for key, address in addresses.items() if address == most))

    def in_use(self) -> list[str]:
        """Workspaces that a page has used recently."""
        oldest = time.monotonic() - IN_USE_SECONDS
        with self._lock:
            self._used = {workspace: used for workspace, used in self._used.items() if used >= oldest}
            return list(self._used)

    def admit(self, workspace: str, address: str) -> None:
        """Note a visit; make the workspace of a new visitor, unless there are too many.

        Raises:
            StudioError `limit-reached`: when the demo is full, or too many workspaces come from one address.
        """
        now = time.monotonic()
        with self._lock:
            known = self._noted.get(workspace)
            if known is not None and known[0] == address and now - known[1] < NOTE_SECONDS:
                return
        home = self._root.home
        with self._admitting:
            if not home.workspace_exists(workspace):
                self._require_room(address)
            home.workspace(workspace).visited(address)
        with self._lock:
            self._noted[workspace] = (address, now)
            self._noted.move_to_end(workspace)
            while len(self._noted) > 10_000:
                self._noted.popitem(last=False)

    def address_of(self, workspace: str) -> str:
        """The network address of a visitor's last noted visit; empty where there are no visitors."""
        return self._noted.get(workspace, ("", 0.0))[0]

    def _require_room(self, address: str) -> None:
        most = self._limits.workspaces
        if most and len(self._root.home.visitors()) >= most:
            self.sweep()
            if len(self._root.home.visitors()) >= most:
                raise StudioError(
                    "limit-reached",
                    "This demo is full.",
                    valid=f"up to {most:,} visitors at a time",
                    hint="Try again later, or install the studio on your own machine.",
                )
        if not self._created.allow(address, self._limits.workspaces_per_address):
            raise StudioError(
                "limit-reached",
                "Too many new visitors have come from your network address.",
                valid=f"up to {self._limits.workspaces_per_address} an hour",
                hint="Try again in an hour, or use the browser of your last visit.",
            )
        hourly = self._limits.workspaces_per_address
        share = max(hourly, most // OF_ONE_ADDRESS)
        if most and hourly and self._root.home.visitors_from(address) >= share:
            raise StudioError(
                "limit-reached",
                "Too many visitors of this demo share your network address.",
                valid=f"up to {share:,} of {most:,} visitors",
                hint="Try again later, or use the browser of your last visit.",
            )

    def sweep(self) -> list[str]:
        """Delete workspaces that were not visited for the allowed time. Returns their names."""
        home, hours = self._root.home, self._limits.workspace_hours
        sweep_removed(home)
        busy = {entry.workspace for entry in home.queue.listing()}
        gone = []
        for name in home.visitors() if hours else ():
            if name in busy or home.hours_since_visit(name) <= hours:
                continue
            with self._admitting:
                if home.hours_since_visit(name) <= hours:  # back in this very moment
                    continue
                self.close_workspace(name)
                remove_workspace(home, name)
                self._root.shared.forget(home.root / "workspaces" / name)
                JOBS.forget(name)
                shutil.rmtree(home.root / "uploads" / name, ignore_errors=True)
                gone.append(name)
        if gone:
            _log.info("Deleted %d workspaces without a visit for %g hours.", len(gone), hours)
        return gone

    def close_workspace(self, workspace: str) -> None:
        """Close the databases of a workspace, because it is removed."""
        with self._lock:
            closed = [self._open.pop(key) for key in list(self._open) if key[0] == workspace]
            self._noted.pop(workspace, None)
        for each in closed:
            each.context.workspace.close()

    def close(self) -> None:
        """Close all databases."""
        with self._lock:
            closed = list(self._open.values())
            self._open.clear()
        for each in closed:
            each.context.workspace.close()


class Repeated:
    """Calls a function every few seconds in a thread, as long as the `with` lasts."""

    def __init__(self, function: Callable[[], object], seconds: float) -> None:
        self._function, self._seconds = function, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="studio sweep", daemon=True)

    def __enter__(self) -> "Repeated":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                self._function()
            except Exception:  # the boundary of the thread: the next call may succeed, for example with a free disk
                _log.exception("Work that the server repeats has failed.")
