"""How handlers are wired: every one is given a `Visit`, and every refusal becomes a sentence on its page.

This is the one place of the page with a broad `except`: an unknown error is written to the log under a short id, and
the person is told that id.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import gradio as gr

from studio.schema.errors import StudioError
from studio.ui.components.basic import alert
from studio.ui.logs import report
from studio.ui.markup import Html, attrs, html
from studio.ui.session import TABS, Sessions, Visit
from studio.ui.uploads import Uploads

Updates = Mapping[Any, Any] | None
Handler = Callable[..., Any]
_BEAT = itertools.count(1)
_DRAWN_AGAIN = 4
_DRAWN = itertools.count(int(time.time() * 1000))
"""Drawings in the order in which they were begun, after those of a server before this one."""


@dataclass
class Shell:
    """What all tabs share."""

    sessions: Sessions
    files: Uploads
    pulse: gr.HTML
    """A hidden region that tells the script that a handler is done, and which steps have a tick."""
    pages: dict[str, "PageShell"] = field(default_factory=dict)
    pressed: dict[str, Callable[[Mapping[str, str], str, Any], dict[Any, Any]]] = field(default_factory=dict)
    """What handles key presses, by the region that they come from."""

    async def press(
        self, headers: Mapping[str, str], page: str, region: str, said: Mapping[str, Any]
    ) -> dict[str, str]:
        """A key press that does not go through Gradio's queue, which takes a tenth of a second: regions, anew."""
        if region not in self.pressed:
            raise StudioError("not-allowed", "This page does not know that key.", hint="Reload the page.")
        visitor = self.sessions.visitor_of(headers)
        updates = await self.sessions.actions.run(visitor, self.pressed[region], headers, page, dict(said))
        return {part.elem_id: value for part, value in updates.items() if part.elem_id}

    def at(self, name: str, tab: gr.Tab, notice: gr.HTML) -> "PageShell":
        """The shell of one tab."""
        self.pages[name] = PageShell(self, name, tab, notice)
        return self.pages[name]

    def load(self, blocks: gr.Blocks) -> None:
        """When the page is loaded: take up what was chosen last and open that tab."""
        first = self.pages[TABS[0]]
        outputs = [self.pulse, *_unique(first.everything())]

        def begin(headers: Mapping[str, str], page: str, run: str) -> dict[Any, Any]:
            try:
                visit = self.sessions.visit(headers, page)
                visit.begin(run)
            except Exception as error:
                return first.refusal(None, error)
            if visit.choices.tab in self.pages and visit.choices.tab != TABS[0]:
                return {self.pulse: self.beat(visit, visit.choices.tab, begin=True)}
            return first.shown(visit)

        async def load(request: gr.Request) -> dict[Any, Any]:
            run, page = str(request.query_params.get("run", "")), request.session_hash or ""
            return await first.scheduled(request.headers, begin, request.headers, page, run)

        blocks.load(load, outputs=outputs, show_progress="hidden", concurrency_limit=None, api_visibility="private")

    def beat(self, visit: Visit | None, goto: str | None = None, begin: bool = False) -> Html:
        """What the script is told after every handler, and which tab it is to open.

        A tab that the page is to `begin` with gives way to one that the person has chosen meanwhile.
        """
        done = " ".join(visit.choices.done()) if visit else ""
        tab = visit.choices.tab if visit else ""
        told = attrs(
            data_beat=next(_BEAT),
            data_done=done,
            data_tab=tab,
            data_open=goto,
            data_begin=begin or None,
        )
        return html("<i{told}></i>", told=told)


@dataclass
class PageShell:
    """What one tab wires its handlers with."""

    shell: Shell
    name: str
    tab: gr.Tab
    notice: gr.HTML
    _show: Callable[[Visit], Updates] | None = None
    _outputs: list[Any] = field(default_factory=list)

    def page(self, show: Callable[[Visit], Updates], outputs: Sequence[Any]) -> None:
        """How the tab is drawn: when it is opened, and when the page is loaded with it."""
        self._show, self._outputs = show, list(outputs)
        self.on(self.tab.select, self._selected, outputs=outputs)

    def _selected(self, visit: Visit) -> dict[Any, Any]:
        """Gradio also says so of the first tab when a page is loaded; nobody chose it then, and `load` draws it."""
        return {} if self.name == TABS[0] and visit.greet() else self.opened(visit)

    def opened(self, visit: Visit) -> dict[Any, Any]:
        """The tab was opened: draw it whole."""
        visit.choose(tab=self.name)
        return self.drawn(visit)

    def then_drawn(self, act: Callable[[Visit], None]) -> Handler:
        """A handler that does something and then draws the tab as it now is, refused or not, or opens another one."""

        def handler(visit: Visit) -> Updates:
            try:
                act(visit)
            except StudioError as error:
                return {**self.drawn(visit), self.notice: alert(error)}
            return {} if visit.wanted_tab else self.drawn(visit)

        return handler

    def drawn(self, visit: Visit) -> dict[Any, Any]:
        """The tab as it is now; drawn again when another act of the page changed something in the meantime."""
        updates: dict[Any, Any] = {}
        for _ in range(_DRAWN_AGAIN):
            mark, at = visit.mark(), next(_DRAWN)
            shown = dict(self._show(visit) or {}) if self._show else {}
            updates = {part: _stamped(value, at, visit.whole("sent")) for part, value in shown.items()}
            if visit.mark() == mark:
                break
        return updates

    def everything(self) -> list[Any]:
        """All that `shown` may change."""
        return [self.notice, *self._outputs]

    def shown(self, visit: Visit) -> dict[Any, Any]:
        """The tab as it should look now, or why it can't be drawn."""
        try:
            updates = self.drawn(visit)
        except Exception as error:
            return self.refusal(visit, error)
        return {**updates, self.notice: Html(""), self.shell.pulse: self.shell.beat(visit)}

    def actions(self, region: gr.HTML, table: Mapping[str, Handler], outputs: Sequence[Any], **wiring: Any) -> None:
        """Send what a person does in a region to the handler of that name; `draw` draws the tab once more."""

        def act(visit: Visit) -> Updates:
            handler = table.get(visit.text("act"))
            visit.admit()
            if visit.text("act") == "draw":
                return {part: value for part, value in self.opened(visit).items() if part in outputs}
            if handler is None:
                raise StudioError("not-allowed", "This page does not know that button.", hint="Reload the page.")
            return handler(visit)

        self.on(region.submit, act, outputs=outputs, **wiring)
        self.shell.pressed[str(region.elem_id)] = partial(self._pass, act)

    def on(
        self,
        event: Callable[..., Any],
        handler: Handler,
        inputs: Sequence[Any] = (),
        outputs: Sequence[Any] = (),
        **wiring: Any,
    ) -> Any:
        """Wire an event to a handler that takes a `Visit` and returns a dictionary of updates.

        How many run at the same time is for the scheduler to decide, so Gradio's queue passes all of them on at once.
        """
        wiring = {
            "show_progress": "hidden",
            "trigger_mode": "multiple",
            "concurrency_limit": None,
            "api_visibility": "private",
            **wiring,
        }
        everything = _unique([*outputs, self.notice, self.shell.pulse])

        async def run(request: gr.Request, event: gr.EventData, *values: Any) -> dict[Any, Any]:
            said, page = getattr(event, "_data", None), request.session_hash or ""
            return await self.scheduled(request.headers, self._pass, handler, request.headers, page, said, *values)

        return event(run, inputs=list(inputs), outputs=everything, **wiring)

    async def scheduled(
        self, headers: Mapping[str, str], function: Callable[..., dict[Any, Any]], *arguments: Any
    ) -> dict[Any, Any]:
        """What a function returns when it is this visitor's turn, or why it can't be called."""
        try:
            visitor = self.shell.sessions.visitor_of(headers)
            return await self.shell.sessions.actions.run(visitor, function, *arguments)
        except StudioError as error:
            return self.refusal(None, error)

    def _pass(self, handler: Handler, headers: Mapping[str, str], page: str, said: Any, *values: Any) -> dict[Any, Any]:
        visit: Visit | None = None
        try:
            with self.shell.sessions.visit(headers, page, said) as visit:
                return self._finish(visit, handler(visit, *values))
        except Exception as error:
            return self.refusal(visit, error)

    def _finish(self, visit: Visit, updates: Updates) -> dict[Any, Any]:
        beat = self.shell.beat(visit, visit.wanted_tab)
        # What the page asks by itself is no answer to the person: a refusal that stands there stays.
        cleared = {} if visit.event.get("unasked") else {self.notice: Html("")}
        return {**cleared, **dict(updates or {}), self.shell.pulse: beat}

    def refusal(self, visit: Visit | None, error: Exception) -> dict[Any, Any]:
        """An error as a sentence on the tab."""
        if not isinstance(error, StudioError):
            number = report(error, f"on the page {self.name}")
            error = StudioError(
                "not-allowed",
                "Something went wrong here.",
                hint=f"Try again. The server's log has the cause under {number}.",
            )
        return {self.notice: alert(error), self.shell.pulse: self.shell.beat(visit)}


def _stamped(value: Any, at: int, act: int) -> Any:
    """A region with the number of its drawing, and of the act that it answers.

    One that arrives after a later one is not shown any more, and none takes back what was done after its act.
    """
    return Html(f"<!--{at} {act}-->{value}") if isinstance(value, Html) else value


def _unique(components: Any) -> list[Any]:
    found: dict[int, Any] = {each._id: each for each in components}
    return list(found.values())
