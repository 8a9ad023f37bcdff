"""How handlers are wired. Each one gets a `Visit`, and each error becomes a message on its page.

All actions of the page come through one server function, `act`: one request, one answer. The answer holds the values of
the parts that changed, by the id of the part. This is the one place of the page with a broad `except`: an unknown error
is written to the log under a short id, which the message names.
"""

import itertools
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gradio as gr

from studio.schema.errors import StudioError
from studio.ui import run_drafts
from studio.ui.components.basic import alert, note
from studio.ui.components.markup import Html, html
from studio.ui.http.uploads import Uploads
from studio.ui.logs import report
from studio.ui.visitors.roles import is_allowed, require_allowed
from studio.ui.visitors.session import HEADER, PROJECT, Sessions, Visit

Updates = Mapping[Any, Any] | None
"""Part of the page → its new value."""
Handler = Callable[..., Any]
Answer = dict[str, Any]
"""`regions`: id of a part → value; `beat`: what the script does after it (js/3-tabs.js)."""
PAGE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
MOST_FIELDS = 20
"""Fields of an action. The page sends fewer than ten."""
_DRAWN_AGAIN = 4
_DRAWN = itertools.count(int(time.time() * 1000))
"""Numbers of drawings, in the order in which they began, above those of an earlier server."""


@dataclass
class Shell:
    """What all tabs share."""

    sessions: Sessions
    files: Uploads
    pages: dict[str, "PageShell"] = field(default_factory=dict)
    handlers: dict[str, tuple["PageShell", Callable[[Mapping[str, str], str, Any], Answer]]] = field(
        default_factory=dict
    )
    """What handles actions, and the tab that shows why one was refused, by the id of the part that they come from."""
    header: Callable[[Visit], Updates] = lambda visit: None
    """How the header is drawn when the page is loaded."""

    def server_function(self) -> Callable[..., Any]:
        """`act` for gr.HTML(server_functions=[…]); Gradio marks the function, so it is no method."""

        async def act(data: Any, request: gr.Request) -> Answer:
            """Do an action. `data`: `secret` or `project`, and the `page`, `region` and what was `said`."""
            return await self.act(data, request.headers)

        return act

    async def act(self, data: Any, headers: Mapping[str, str]) -> Answer:
        """The answer to an action. It never raises, because Gradio would not report the error to the page."""
        data = data if isinstance(data, dict) else {}
        region, page, event, secret, project = map(data.get, ("region", "page", "said", "secret", "project"))
        sent = {HEADER: secret, PROJECT: project}
        tab, handler = self.handlers.get(region if isinstance(region, str) else "", (self.first, None))
        try:
            named = isinstance(page, str) and PAGE_ID.fullmatch(page)
            if handler is None or not named or not isinstance(event, dict) or len(event) > MOST_FIELDS:
                raise _unknown_button()
            known = {name.lower(): value for name, value in headers.items()}
            known |= {name: value if isinstance(value, str) else "" for name, value in sent.items()}
            visitor = self.sessions.visitor_of(known)
            return await self.sessions.actions.run(visitor, handler, known, page, event)
        except Exception as error:
            return tab.refusal(None, error)

    @property
    def first(self) -> "PageShell":
        """The tab that a new page opens."""
        return next(iter(self.pages.values()))

    def at(self, name: str, notice: gr.HTML, viewer_actions: frozenset[str] = frozenset()) -> "PageShell":
        """The shell of one tab. `viewer_actions`: what a viewer may do there."""
        self.pages[name] = PageShell(self, name, notice, viewer_actions)
        return self.pages[name]

    def load(self) -> None:
        """When the page is loaded: restore what was chosen last, and open that tab."""
        first = self.first

        def begin(headers: Mapping[str, str], page: str, event: Any) -> Answer:
            try:
                visit = self.sessions.visit(headers, page, event)
                run_drafts.begin(visit, visit.text("run", 100), bool(visit.text("fresh", 5)))
            except Exception as error:
                return first.refusal(None, error)
            other = visit.choices.tab in self.pages and visit.choices.tab != first.name
            answer = first.answer(visit, {}, visit.choices.tab, begin=True) if other else first.shown(visit)
            header = first.answer(visit, self.header(visit))["regions"]
            return {**answer, "regions": {**answer["regions"], **header}}

        self.handlers["page"] = first, begin


@dataclass
class PageShell:
    """What one tab wires its handlers with."""

    shell: Shell
    name: str
    notice: gr.HTML
    viewer_actions: frozenset[str] = frozenset()
    _show: Callable[[Visit], Updates] | None = None

    def page(self, show: Callable[[Visit], Updates]) -> None:
        """How the tab is drawn: when it is opened, when the page is loaded with it, and after actions."""
        self._show = show
        self.shell.handlers[f"tab-{self.name}"] = self, partial(self._pass, self.opened)

    def opened(self, visit: Visit) -> dict[Any, Any]:
        """The tab was opened: draw it whole."""
        visit.choose(tab=self.name)
        return self.drawn(visit)

    def then_drawn(self, acts: Mapping[str, Callable[[Visit], None]], when_refused: bool = True) -> dict[str, Handler]:
        """Handlers that act and then draw the tab, or open another tab, by the name of the action.

        `when_refused`: whether a refused action draws the tab too. Without that, typed text stays.
        """

        def handler(act: Callable[[Visit], None], visit: Visit) -> Updates:
            try:
                act(visit)
            except StudioError as error:
                if not when_refused:
                    raise
                return {**self.drawn(visit), self.notice: alert(error)}
            return {} if visit.wanted_tab not in (None, self.name) else self.drawn(visit)

        return {name: partial(handler, act) for name, act in acts.items()}

    def drawn(self, visit: Visit) -> dict[Any, Any]:
        """The tab as it is now. It is drawn again when another action changed something in the meantime.

        Handlers return this and never a drawing of their own: only this one is numbered, so that an answer that was
        overtaken does not hide a newer one.
        """
        updates: dict[Any, Any] = {}
        for _ in range(_DRAWN_AGAIN):
            mark, at = visit.mark(), next(_DRAWN)
            parts = dict(self._show(visit) or {}) if self._show else {}
            updates = {part: _stamped(value, at, visit.whole("sent")) for part, value in parts.items()}
            if visit.mark() == mark:
                break
        return updates

    def shown(self, visit: Visit) -> Answer:
        """The tab as it is now, or why it can't be drawn."""
        try:
            updates = self.drawn(visit)
        except Exception as error:
            return self.refusal(visit, error)
        return self.answer(visit, {**updates, self.notice: Html("")})

    def actions(self, part: gr.HTML, table: Mapping[str, Handler]) -> None:
        """Send what a person does in a part of the page to the handler of that name; `draw` draws the tab again."""

        def act(visit: Visit) -> Updates:
            action = visit.text("act")
            handler = {"draw": self.drawn, **table}.get(action)
            if visit.event.get("unasked") and not is_allowed(visit.role, action, self.viewer_actions):
                return None
            require_allowed(visit.role, action, self.viewer_actions)
            visit.admit()
            if handler is None:
                raise _unknown_button()
            updates: Updates = handler(visit)
            return updates

        self.shell.handlers[str(part.elem_id)] = self, partial(self._pass, act)

    def answer(self, visit: Visit | None, updates: Updates, goto: str | None = None, begin: bool = False) -> Answer:
        """The answer of an action: the parts that changed, tabs with a tick, and the tab to open.

        A tab to `begin` with is ignored when the person has chosen another tab in the meantime.
        """
        beat: dict[str, object] = {"done": [], "tab": ""}
        if visit:
            beat = {"done": list(visit.choices.done()), "tab": visit.choices.tab}
        if visit and visit.role == "viewer":
            beat["viewer"] = True
        regions = {part.elem_id: value for part, value in dict(updates or {}).items()}
        return {"regions": regions, "beat": {**beat, "open": goto or "", "begin": begin}}

    def refusal(self, visit: Visit | None, error: Exception) -> Answer:
        """An error as a message on the tab."""
        if not isinstance(error, StudioError):
            number = report(error, f"on the page {self.name}")
            error = StudioError(
                "not-allowed",
                "Something went wrong.",
                hint=f"Try again. The server's log has the cause under {number}.",
            )
        return self.answer(visit, {self.notice: alert(error)})

    def _pass(self, handler: Handler, headers: Mapping[str, str], page: str, event: Any) -> Answer:
        visit: Visit | None = None
        try:
            with self.shell.sessions.visit(headers, page, event) as visit:
                updates = dict(handler(visit) or {})
                # A request that the page sends by itself does not answer the person, so an error that is shown stays.
                cleared = {} if visit.event.get("unasked") else {self.notice: _confirmation(visit.done_message)}
                return self.answer(visit, {**cleared, **updates}, visit.wanted_tab)
        except Exception as error:
            return self.refusal(visit, error)


def _confirmation(message: str) -> Html:
    return note("ok", html('<p role="status">{m}</p>', m=message)) if message else Html("")


def _unknown_button() -> StudioError:
    return StudioError("not-allowed", "This page does not know that button.", hint="Reload the page.")


def _stamped(value: Any, at: int, act: int) -> Any:
    """A region with the number of its drawing, and of the action that it answers.

    The page ignores a drawing that is older than the one it shows, or than the last action.
    """
    return Html(f"<!--{at} {act}-->{value}") if isinstance(value, Html) else value
