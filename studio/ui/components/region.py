"""A region: a piece of page drawn in Python; js/2-region.js morphs the new one into the old in the browser."""

import gradio as gr


def region(elem_id: str, classes: str = "") -> gr.HTML:
    """A gr.HTML whose value is `Html`; what a person does inside comes as its `submit` event."""
    return gr.HTML(
        value="",
        html_template='<div class="slot"></div>',
        js_on_load="window.studio.region(element, props, trigger, watch, 'submit')",
        apply_default_css=False,
        elem_id=elem_id,
        elem_classes=["region", *classes.split()],
    )
