"""The bar above the tabs that shows the running run on all tabs. js/runbar.js draws it."""

import gradio as gr

from studio.ui.components.region import live
from studio.ui.selected import select_run
from studio.ui.shell import Shell, Updates
from studio.ui.visitors.session import Visit

MARKUP = '<div class="runbar none" role="group" aria-label="Current run"></div>'


def build() -> gr.HTML:
    """Make the bar."""
    return live("runbar", MARKUP)


def wire(c: gr.HTML, shell: Shell) -> None:
    """Its button opens the run, to watch it or to chat."""

    def opened(visit: Visit) -> Updates:
        run = visit.studio.runs.get(visit.text("run", 100))
        to = "chat" if visit.text("to") == "chat" and run.has_result else "train"
        select_run(visit, run.id)
        if visit.choices.tab == to:
            return shell.pages[to].drawn(visit)
        visit.goto(to)
        return None

    shell.pages["train"].actions(c, {"open": opened})
