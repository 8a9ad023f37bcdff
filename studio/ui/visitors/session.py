"""The visitor of a request, and the choices of a browser tab.

In a demo a visitor is known by a secret in a request header, issued by the server and kept by the page's script; its
hash is the name of the visitor's workspace. A person who is signed in (hf_sign_in.py) has a workspace of their own. The
page names it in the same header, so that the page of a person who has signed out is refused. Without a demo, the page
names the project that it has open, and the workspace is that of the project. Choices are stored twice: here for the
open page, and as a draft in the workspace, so that a reload or a restart of the server loses none of them.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.schema.limits import DEMO, OWNER, Limits
from studio.schema.requests import RunRequest
from studio.services.context import Role
from studio.store.home import ALONE
from studio.ui.http.proxies import ADDRESS, OWN_WORKSPACE, ROLE, USER
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.scheduler import JOB_TURNS, ActionScheduler, Visitor
from studio.ui.visitors.labeler import labeller_of
from studio.ui.visitors.roles import ROLES
from studio.ui.visitors.workspaces import Workspaces

HEADER = "x-studio-workspace"
PROJECT = "x-studio-project"
"""The header with the id of the project that a page has open. Not used in a demo."""
_LARGEST = 2**53
_BETWEEN_THOUSANDS = re.compile(r"(?<=\d)[.,\s’'](?=\d{3}(?!\d))")
T = TypeVar("T")
MOST_ADDED = 100
"""Values that are saved together under one name. The names come from the page, so a visitor could invent any number."""
MOST_PAGES, PAGES_OF_ONE = 1024, 16
"""Open pages in memory, in total and for one visitor of a demo. Older ones are loaded from their drafts."""


@dataclass(frozen=True)
class Choices:
    """What this browser tab has chosen, step by step."""

    tab: str = "model"
    task: str = ""
    model: str = ""
    dataset: str = ""
    version: int | None = None
    view: str = "rows"
    """Which view of the data is open: `rows`, `tokens`, `label` or `versions`."""
    row: int = 1
    """The row of the token view."""
    page: int = 1
    """First row of the table."""
    only: str = ""
    """Kind of problem: only rows with it are shown."""
    method: str = ""
    preset: str = "balanced"
    settings: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    prompts: tuple[str, ...] | None = None
    """Test prompts. None until the person changes them."""
    validation: str = ""
    """Dataset to validate on, taken over from another run. Empty: a part of the rows."""
    run: str = ""
    reached: tuple[str, ...] = ()
    """Steps of the selected run that were done."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Other values that a page saves, by name."""

    @classmethod
    def from_draft(cls, draft: Any) -> "Choices":
        """Choices from a draft. Unknown fields of another version are left out."""
        known = {each.name for each in fields(cls)}
        kept = {key: value for key, value in draft.items() if key in known} if isinstance(draft, dict) else {}
        for name in ("prompts", "reached"):
            if kept.get(name) is not None and name in kept:
                kept[name] = tuple(kept[name])
        return cls(**kept)

    def run_request(self, **changes: Any) -> RunRequest:
        """The run that these choices ask for. `changes` are further fields of the request, or other values."""
        chosen = {name: getattr(self, name) for name in ("dataset", "model", "task", "preset", "settings")}
        return RunRequest(**{**chosen, "method": self.method or None, "validation": self.validation or None, **changes})

    def done(self) -> tuple[str, ...]:
        """Steps with a tick."""
        first = {"model": bool(self.task and self.model), "data": bool(self.dataset), "method": bool(self.run)}
        return tuple(step for step, done in first.items() if done) + tuple(self.reached)


class OpenPage:
    """One open page: its choices and a lock of its own, so that no page waits for another's disk."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.choices: Choices | None = None
        self.running = 0
        """Actions of the page in progress."""
        self.mark = 0
        """Increases with each change or action."""


class Sessions:
    """Every visitor's Studio, and every open page's choices."""

    def __init__(self, home: Any = None, demo: bool = False, limits: Limits | None = None) -> None:
        self.demo = demo
        self.limits = (limits or DEMO) if demo else OWNER
        self.root = Studio(home)
        self.workspaces = Workspaces(self.root, self.limits)
        self.actions, self.requests = ActionScheduler(self.limits), ActionScheduler(self.limits)
        """Schedulers of page actions and of requests of the page's script. A poll does not wait for a long action."""
        JOB_TURNS.set_limits(self.limits, self.workspaces.address_of)
        self._pages: OrderedDict[tuple[str, str], OpenPage] = OrderedDict()
        self._lock = threading.Lock()
        """For the table of pages alone; nothing is read or written under it."""
        if demo:
            self.root.home.keep_demo_limits(self.limits)
            self.root.home.hide_secrets()

    def visitor_of(self, headers: Mapping[str, str]) -> Visitor:
        """The visitor of a request.

        Raises:
            StudioError `not-allowed`: when the secret is unknown.
        """
        return Visitor(self.workspace_of(headers), headers.get(ADDRESS, "") if self.demo else "")

    def workspace_of(self, headers: Mapping[str, str]) -> str:
        """The workspace of the sender of these headers, which alone are trusted."""
        if not self.demo:
            return self._project_of(headers.get(PROJECT, ""))
        sent, own = headers.get(HEADER, ""), headers.get(OWN_WORKSPACE, "")
        if own and sent == own:
            return own
        name = self.root.home.visitor_workspace(sent)
        if name is None:
            raise StudioError(
                "not-allowed",
                "This page has lost its workspace.",
                hint="Reload the page. If you were signed in, sign in again.",
            )
        return name

    def _project_of(self, project: str) -> str:
        """The workspace of a project of the owner; by default of the default project."""
        if project and not self.root.projects.is_usable(project):
            raise StudioError(
                "not-allowed", "This project was deleted.", hint="Reload the page. It then opens the default project."
            )
        return project or "default"

    def project_to_open(self, project: str, run: str) -> str:
        """The id of the project that a page opens: the one with the run in its address, else the one it had open.

        The default project, where that one was deleted. Empty in a demo.
        """
        if self.demo:
            return ""
        usable = project if self.root.projects.is_usable(project) else "default"
        return self.root.projects.with_run(run, usable) or usable

    def studio_of(self, headers: Mapping[str, str]) -> Studio:
        """The Studio of the sender of these headers. A new visitor has no files yet."""
        workspace = self.workspace_of(headers)
        return self.workspaces.studio(workspace, self._role_of(headers), self.demo and workspace != ALONE)

    async def run(self, headers: Mapping[str, str], function: Callable[[Studio], T]) -> T:
        """The result of a function of the visitor's Studio. It is called in a thread, when it is the visitor's turn."""
        return await self.requests.run(self.visitor_of(headers), lambda: function(self.studio_of(headers)))

    def new_secret(self, headers: Mapping[str, str]) -> str:
        """What a page sends in `HEADER`: the workspace of a person who is signed in, else a visitor's secret.

        That is the secret that was sent when it is known, or a new one.
        """
        if headers.get(OWN_WORKSPACE):
            return headers[OWN_WORKSPACE]
        try:
            self.workspace_of(headers)
        except StudioError:
            return self.root.home.new_secret()
        return headers[HEADER]

    def admit(self, visitor: Visitor) -> None:
        """Record a visit before something is written, or refuse a new visitor when the demo is full."""
        if self.demo and visitor.workspace != ALONE:
            self.workspaces.admit(visitor.workspace, visitor.address)

    def _role_of(self, headers: Mapping[str, str]) -> Role:
        return next((role for role in ROLES if role == headers.get(ROLE)), "owner")

    def visit(self, headers: Mapping[str, str], page: str, event: Any = None) -> "Visit":
        """One action of an open page."""
        visit = Visit(self, self.visitor_of(headers), self.studio_of(headers), page or "", event)
        visit.account = headers.get(USER, "") if headers.get(OWN_WORKSPACE) == visit.workspace else ""
        visit.labeller = labeller_of(headers) or visit.account
        return visit

    def page(self, key: tuple[str, str]) -> OpenPage:
        """An open page. The oldest pages are forgotten, first those of a visitor with very many."""
        with self._lock:
            page = self._pages.setdefault(key, OpenPage())
            self._pages.move_to_end(key)
            own = [each for each in self._pages if each[0] == key[0]] if self.demo else []
            for old in own[: max(0, len(own) - PAGES_OF_ONE)]:
                del self._pages[old]
            while len(self._pages) > MOST_PAGES:
                self._pages.popitem(last=False)
            return page

    def choices(self, key: tuple[str, str], studio: Studio) -> Choices:
        """The choices of an open page. A new page starts with the latest choices."""
        page = self.page(key)
        with page.lock:
            if page.choices is None:
                page.choices = Choices.from_draft(studio.drafts.get("page"))
            return page.choices

    def change(self, key: tuple[str, str], studio: Studio, change: Callable[[Choices], dict[str, Any]]) -> None:
        """Change some choices, depending on what they are now, here and in the draft."""
        page = self.page(key)
        with page.lock:
            now = self.choices(key, studio)
            page.choices = replace(now, **change(now))
            page.mark += 1
            studio.drafts.put("page", asdict(page.choices))

    def working(self, key: tuple[str, str], change: int) -> int:
        """Count the running actions of an open page."""
        page = self.page(key)
        with page.lock:
            page.running = max(0, page.running + change)
            page.mark += change < 0
            return page.running

    def mark(self, key: tuple[str, str]) -> int:
        """Grows with each choice or action on an open page."""
        return self.page(key).mark

    def forget(self, key: tuple[str, str], choices: Choices | None = None) -> None:
        """Take these choices, or load them from the draft, because the page was reloaded."""
        page = self.page(key)
        with page.lock:
            page.choices = choices


class Visit:
    """The input of a handler: the visitor's Studio, the choices of the page, and the action."""

    def __init__(self, sessions: Sessions, visitor: Visitor, studio: Studio, page: str, event: Any) -> None:
        self._sessions, self._visitor = sessions, visitor
        self._key = (visitor.workspace, page)
        self.workspace = visitor.workspace
        self.studio = studio
        self.demo = studio.context.demo
        """Whether the rules of a public demo apply to this person."""
        self.limits = sessions.limits if self.demo else OWNER
        self.role = studio.context.role
        self.event = {name: _said(value) for name, value in event.items()} if isinstance(event, dict) else {}
        self.account = ""
        """The name of the person who is signed in to a demo."""
        self.labeller = ""
        """Who labels from this browser, if they gave a name."""
        self.wanted_tab: str | None = None
        self.done_message = ""
        """What the page confirms after the action."""

    @property
    def choices(self) -> Choices:
        """The current choices."""
        return self._sessions.choices(self._key, self.studio)

    def choose(self, **changes: Any) -> None:
        """Change choices, and save them. A validation dataset belongs to the dataset that it was chosen for."""

        def changed(now: Choices) -> dict[str, Any]:
            other = changes.get("dataset", now.dataset) != now.dataset
            return {"validation": "", **changes} if other else changes

        self._change(changed)

    def remember(self, **things: Any) -> None:
        """Save further values of the page, by name."""
        self._change(lambda now: {"extra": {**now.extra, **things}})

    def add(self, name: str, **things: Any) -> None:
        """Change some of the values that are saved together under one name. Of too many, the oldest are dropped."""

        def added(now: Choices) -> dict[str, Any]:
            kept = now.extra.get(name)
            values = {**(kept if isinstance(kept, dict) else {}), **things}
            return {"extra": {**now.extra, name: dict(list(values.items())[-MOST_ADDED:])}}

        self._change(added)

    def _change(self, change: Callable[[Choices], dict[str, Any]]) -> None:
        self.admit()
        self._sessions.change(self._key, self.studio, change)

    def admit(self) -> None:
        """Called before anything is written for a visitor; see `Sessions.admit`."""
        self._sessions.admit(self._visitor)

    def close_workspace(self, workspace: str) -> None:
        """Close the database of a workspace that is about to be removed."""
        self._sessions.workspaces.close_workspace(workspace)

    def job(self, key: Key) -> Job | None:
        """A job of this server. One that has ended is returned for some seconds; a viewer's page does not remove it."""
        return JOBS.get(key) if self.role == "viewer" else JOBS.look(key)

    def take_job(self, key: Key) -> Job | None:
        """Remove and return a job that has ended. None for a viewer, whose page leaves it for those who edit."""
        return None if self.role == "viewer" else JOBS.take(key)

    def goto(self, tab: str) -> None:
        """Open a tab after the handler."""
        self.choose(tab=tab)
        self.wanted_tab = tab

    def __enter__(self) -> "Visit":
        self._sessions.working(self._key, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._sessions.working(self._key, -1)

    def mark(self) -> int:
        """Grows with each choice or action on this page, by this action or by another one at the same time."""
        return self._sessions.mark(self._key)

    def settle(self, most: float = 3.0) -> None:
        """Wait for earlier actions of this page, for example a field that the current click has left."""
        until = time.monotonic() + most
        while self._sessions.working(self._key, 0) > 1 and time.monotonic() < until:
            time.sleep(0.01)

    def begin(self, choices: Choices | None = None) -> None:
        """The page was loaded: restore the last choices, or take others, which are saved with the first change."""
        self._sessions.forget(self._key, choices)

    def text(self, name: str, limit: int = 20_000) -> str:
        """A text of the event, with at most `limit` characters."""
        value = self.event.get(name, "")
        return value[:limit] if isinstance(value, str) else str(value)[:limit]

    def whole(self, name: str, default: int = 0) -> int:
        """A whole number of the event, within what a database can hold. It may be typed as 1,024."""
        value = self.event.get(name, default)
        if isinstance(value, str):
            value = _BETWEEN_THOUSANDS.sub("", value)
        try:
            return max(-_LARGEST, min(_LARGEST, int(value)))
        except (TypeError, ValueError, OverflowError):
            return default


def _said(value: Any) -> Any:
    """The value. A lone surrogate, which UTF-8 can't hold, becomes a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
