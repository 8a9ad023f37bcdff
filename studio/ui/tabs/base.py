"""The interface of a tab. Add one as a module and one line in registry.py, or as an installed plugin."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.ui.components.markup import Html
from studio.ui.components.region import region
from studio.ui.shell import Handler, PageShell, Updates
from studio.ui.visitors.session import Visit


@dataclass(frozen=True)
class Tab:
    """One tab of the page."""

    name: str
    title: str
    """Its title, with its number in the workflow if it has one."""
    build: Callable[[], Any]
    """Makes the components, inside the tab, and returns them."""
    wire: Callable[[Any, PageShell], None]
    """Gets the components and the tab's shell, and registers what happens when the tab is opened and used."""
    help_page: str = ""
    """The page of docs/ that "?" opens, such as guides/read-results#evaluate. Empty: the tab has no "?"."""
    viewer_actions: frozenset[str] = frozenset()
    """Actions that change nothing but what the viewer of a team sees. `draw` is always allowed."""

    @property
    def short_title(self) -> str:
        """The title without the number."""
        return self.title.lstrip("0123456789 ")


@dataclass(frozen=True)
class Components:
    """The parts of most tabs: a body, and the action bar below it."""

    body: gr.HTML
    actions: gr.HTML

    @classmethod
    def build(cls, name: str) -> "Components":
        """Make the parts of the tab with this name."""
        return cls(region(f"{name}-body"), region(f"{name}-actions", "actions-slot"))

    def showing(self, drawn: Callable[[Visit], tuple[Html, Html]]) -> Callable[[Visit], Updates]:
        """A handler that shows what `drawn` returns: the body and the action bar."""
        return lambda visit: dict(zip((self.body, self.actions), drawn(visit), strict=True))

    def wire(self, shell: PageShell, handlers: dict[str, Handler]) -> None:
        """Send what a person does in either part to the same handlers."""
        for part in (self.body, self.actions):
            shell.actions(part, handlers)
