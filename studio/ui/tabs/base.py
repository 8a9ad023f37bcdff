"""The interface of a tab. Add one as a module and one line in registry.py, or as an installed plugin."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from studio.ui.shell import PageShell


@dataclass(frozen=True)
class Tab:
    """One tab of the page."""

    name: str
    title: str
    """Its title, with the number of the step before it if it is one."""
    build: Callable[[], Any]
    """Makes the components, inside the tab, and returns them."""
    wire: Callable[[Any, PageShell], None]
    """Gets the components and the tab's shell, and registers what happens when the tab is opened and used."""

    @property
    def short_title(self) -> str:
        """The title without the number."""
        return self.title.lstrip("0123456789 ")
