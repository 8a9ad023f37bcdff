"""One theme: Gradio's plainest with system fonts; colours come from css/, light and dark, by variable."""

import gradio as gr


def theme() -> gr.themes.Base:
    """Gradio's base theme without any font of its own."""
    return gr.themes.Base(
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    )
