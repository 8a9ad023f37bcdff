"""A tab that shows how many runs there are."""

import gradio as gr

from studio.ui.components.basic import heading
from studio.ui.components.region import region
from studio.ui.shell import PageShell, Updates
from studio.ui.tabs.base import Tab
from studio.ui.visitors.session import Visit


def build() -> gr.HTML:
    """Inside the tab."""
    return region("notes-body")


def wire(body: gr.HTML, shell: PageShell) -> None:
    """Draw the tab when it is opened."""

    def show(visit: Visit) -> Updates:
        return {body: heading("Notes", f"There are {len(visit.studio.runs.all())} runs.")}

    shell.page(show)


NOTES = Tab("notes", "Notes", build, wire)
