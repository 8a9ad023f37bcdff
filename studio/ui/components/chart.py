"""Owns: parts of the page that draw themselves: still HTML with a script of its own, fed by the poll routes."""

from pathlib import Path
from typing import Any

import gradio as gr

VIEWS = Path(__file__).parents[1] / "views"


def view(name: str) -> str:
    """The still part of a page, from views/NAME.html."""
    return (VIEWS / f"{name}.html").read_text(encoding="utf-8")


def live(name: str, markup: str, value: Any = None) -> gr.HTML:
    """A gr.HTML that js/NAME.js keeps up to date. Its markup has no value in it, so Gradio never draws it anew; what a
    person does inside comes as its `submit` event, and `value` tells the script what to show."""
    return gr.HTML(
        value=value,
        html_template=markup,
        js_on_load=f"window.studio.{name}(element, props, trigger, watch, 'submit')",
        apply_default_css=False,
        elem_id=f"{name}-view",
        elem_classes=["live-part"],
    )
