"""The page as Gradio Blocks: header, and tabs with a module each."""

import gradio as gr

from studio.ui import api, static
from studio.ui.components import limits, run_bar
from studio.ui.components.basic import html
from studio.ui.components.region import region
from studio.ui.icons import icon
from studio.ui.session import Sessions
from studio.ui.shell import Shell
from studio.ui.tabs.registry import TABS
from studio.ui.uploads import Uploads

BRAND = html('<a class="brand" href="#" data-goto="model">{logo}Fine-tune Studio</a>', logo=icon("logo"))

LOGOUT = html('<form method="post" action="logout"><button class="btn s">Log out</button></form>')


def blocks(sessions: Sessions, files: Uploads, has_login: bool = False) -> gr.Blocks:
    """The whole page, wired, and what its tabs share."""
    with gr.Blocks(title="Fine-tune Studio", analytics_enabled=False, fill_width=True) as page:
        with gr.Row(elem_classes="top"):
            gr.HTML(BRAND, js_on_load=None, apply_default_css=False, elem_classes="brand-slot")
            bar = run_bar.build()
            if has_login:
                gr.HTML(LOGOUT, js_on_load=None, apply_default_css=False, elem_classes="brand-slot")
        if sessions.demo:
            gr.HTML(limits.banner(sessions.limits), js_on_load=None, apply_default_css=False)
        with gr.Tabs(elem_id="steps"):
            shell = Shell(sessions, files)
            built = []
            for name, tab in TABS.items():
                with gr.Tab(tab.title, id=name):
                    notice = region(f"notice-{name}", "notice")
                    built.append((tab, tab.build(), shell.at(name, notice)))
        for tab, components, at in built:
            tab.wire(components, at)
        run_bar.wire(bar, shell)
        shell.load()
        gr.HTML(
            value="",
            html_template="<span hidden></span>",
            apply_default_css=False,
            elem_classes="pulse",
            head=static.head(),
            server_functions=[shell.server_function()],
            js_on_load=f"window.studio.connect(server, {'true' if sessions.demo else 'false'})",
        )
        if not sessions.demo:
            api.add(sessions)
    _slow_queue(page, sessions.demo)
    return page


def _slow_queue(page: gr.Blocks, unused: bool) -> None:
    """Let Gradio's queue, which only the API uses, look for work less often than each millisecond: at rest that saves
    2% of a core."""
    queue = page._queue
    queue.sleep_when_free, queue.progress_update_sleep_when_free = 1.0 if unused else 0.05, 1.0
