"""The server's loop that reconciles runs and advances searches, also while no page is open.

Each second it reconciles the workspaces that have runs that wait or train: lost workers are noticed, hanging stops are
enforced, the next run starts. Every few seconds it advances the running searches of all workspaces, and reconciles the
first workspace and those with an open page also while nothing happens. While a page is open it also measures the load
of the machine, so that no estimate on a page waits for a sample.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from functools import partial

from studio.api import Studio
from studio.services.planning.experience import cpu_share
from studio.services.runs.reconcile import reconcile_queue, reconcile_runs

RECONCILE_SECONDS = 1.0
SEARCH_SECONDS = 3.0
END_SECONDS = 5.0
"""How long the end of the server waits for work that has begun."""
_log = logging.getLogger("studio.ui")


class Monitor:
    """A thread that reconciles runs and advances searches while the `with` lasts."""

    def __init__(
        self,
        root: Studio,
        open_workspaces: Callable[[], Iterable[str]] = lambda: (),
        seconds: float = RECONCILE_SECONDS,
        search_seconds: float = SEARCH_SECONDS,
    ) -> None:
        """`open_workspaces` names the workspaces that a page has asked for a moment ago."""
        self._root, self._open_workspaces = root, open_workspaces
        self._seconds, self._search_every = seconds, max(1, round(search_seconds / seconds))
        self._over = threading.Event()
        self._studios: dict[str, Studio] = {}
        """Workspaces in use. Others are dropped, with their database connections."""
        self._failed: dict[tuple[str, str], str] = {}
        """The last failures by workspace and work, so that each is logged once."""
        self._active: set[str] = set()
        """Workspaces that had runs that wait or train when they were reconciled last."""
        self._thread = threading.Thread(target=self._loop, name="studio monitor", daemon=True)

    def __enter__(self) -> "Monitor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(END_SECONDS)

    def _loop(self) -> None:
        tick = 0
        while not self._over.is_set():
            self._tick(search=tick % self._search_every == 0)
            tick += 1
            self._over.wait(self._seconds)

    def _tick(self, search: bool) -> None:
        try:
            queued = {entry.workspace for entry in self._root.home.queue.listing()}
            searches = self._root.search.running() if search else []
        except Exception:
            _log.exception("The queue can't be read.")
            return
        root, opened = self._root.context.workspace.name, set(self._open_workspaces())
        in_work = {*self._active, *queued, *({root, *opened} if search else ())}
        needed = in_work | opened | {workspace for workspace, _ in searches}
        self._studios = {name: studio for name, studio in self._studios.items() if name in needed or not search}
        for workspace in in_work:
            self._do(workspace, "", "The runs can't be reconciled.", self._reconcile)
        if in_work:
            self._do(root, "queue", "The queue can't be reconciled.", lambda studio: reconcile_queue(studio.runs))
        if search and opened:
            self._do(root, "load", "The load can't be measured.", lambda studio: cpu_share(studio.context))
        for workspace, name in searches:
            message = f"The search {name} can't continue."
            self._do(workspace, name, message, partial(_advance, search=name))
        if search:
            keys = {*searches, *((workspace, name) for workspace in in_work for name in ("", "queue", "load"))}
            self._failed = {key: error for key, error in self._failed.items() if key in keys}

    def _do(self, workspace: str, name: str, message: str, work: Callable[[Studio], object]) -> None:
        """Do some work. A failure is logged once and does not prevent other work."""
        if self._over.is_set():
            return
        try:
            work(self._studio(workspace))
            self._failed.pop((workspace, name), None)
        except Exception as error:
            if self._failed.get((workspace, name)) != repr(error):
                _log.exception(message)
            self._failed[workspace, name] = repr(error)

    def _reconcile(self, studio: Studio) -> None:
        workspace = studio.context.workspace.name
        if reconcile_runs(studio.runs):
            self._active.add(workspace)
        else:
            self._active.discard(workspace)

    def _studio(self, workspace: str) -> Studio:
        if workspace == self._root.context.workspace.name:
            return self._root
        if workspace not in self._studios:
            self._studios[workspace] = self._root.visitor(workspace)
        return self._studios[workspace]


def _advance(studio: Studio, search: str) -> None:
    studio.search.advance(search)
