"""The page as one Blocks: header, steps as tabs, one module a tab."""

import gradio as gr

from studio.ui import static
from studio.ui.components import limits, run_bar
from studio.ui.components.basic import html
from studio.ui.components.region import region
from studio.ui.icons import icon
from studio.ui.session import Sessions
from studio.ui.shell import Shell
from studio.ui.tabs import chat, evaluate, export, train
from studio.ui.tabs.data import tab as data_tab
from studio.ui.tabs.method import tab as method_tab
from studio.ui.tabs.model import tab as model_tab
from studio.ui.tabs.runs import tab as runs_tab
from studio.ui.uploads import Uploads

PAGES = {
    "model": ("1 Model", model_tab),
    "data": ("2 Data", data_tab),
    "method": ("3 Method", method_tab),
    "train": ("4 Train", train),
    "evaluate": ("5 Evaluate", evaluate),
    "chat": ("6 Chat", chat),
    "export": ("7 Export", export),
    "runs": ("Runs", runs_tab),
}
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
            for name, (label, module) in PAGES.items():
                with gr.Tab(label, id=name):
                    notice = region(f"notice-{name}", "notice")
                    built.append((module, module.build(), shell.at(name, notice)))
        for module, components, at in built:
            module.wire(components, at)
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
    _rest(page)
    return page


def _rest(page: gr.Blocks) -> None:
    """Have Gradio's queue, which this page does not use, wait a second between its looks, not a millisecond."""
    queue = page._queue
    queue.sleep_when_free, queue.progress_update_sleep_when_free = 1.0, 1.0
