"""Parts of the page: regions, which the server draws as HTML, and live parts, which a script draws.

Both are gr.HTML with a script. Actions in one are sent by the server function `act` (ui/shell.py). Its answer names the
parts to draw.
"""

from pathlib import Path

import gradio as gr

from studio.ui.http import static

VIEWS = Path(__file__).parents[1] / "views"


def region(elem_id: str, classes: str = "") -> gr.HTML:
    """A part whose content is `Html` from the server; js/2-region.js morphs the new content into the old."""
    return gr.HTML(
        value="",
        html_template='<div class="slot"></div>',
        js_on_load="window.studio.region(element)",
        head=static.head(),
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes=["region", *classes.split()],
    )


def live(name: str, markup: str) -> gr.HTML:
    """A part that js/NAME.js draws, from the poll routes and from what handlers return for it."""
    return gr.HTML(
        value="",
        html_template=markup,
        js_on_load=f"window.studio.begin('{name}', element)",
        head=static.head(),
        apply_default_css=False,
        elem_id=f"{name}-view",
        elem_classes=["live-part"],
    )


def view(name: str) -> str:
    """The markup of a live part, from views/NAME.html."""
    return (VIEWS / f"{name}.html").read_text(encoding="utf-8")
