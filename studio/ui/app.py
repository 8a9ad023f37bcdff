"""The page as one Blocks: header, steps as tabs, one module a tab."""

import gradio as gr

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


def blocks(sessions: Sessions, files: Uploads, has_login: bool = False) -> tuple[gr.Blocks, Shell]:
    """The whole page, wired, and what its tabs share."""
    with gr.Blocks(title="Fine-tune Studio", analytics_enabled=False, fill_width=True) as page:
        with gr.Row(elem_classes="top"):
            gr.HTML(BRAND, js_on_load=None, apply_default_css=False, elem_classes="brand-slot")
            bar = run_bar.build()
            if has_login:
                gr.HTML(LOGOUT, js_on_load=None, apply_default_css=False, elem_classes="brand-slot")
            pulse = gr.HTML(
                value="",
                html_template="<span hidden></span>",
                apply_default_css=False,
                elem_classes="pulse",
                js_on_load="window.studio.pulse(element, props, watch)",
            )
        if sessions.demo:
            gr.HTML(limits.banner(sessions.limits), js_on_load=None, apply_default_css=False)
        with gr.Tabs(elem_id="steps"):
            shell = Shell(sessions, files, pulse)
            built = []
            for name, (label, module) in PAGES.items():
                with gr.Tab(label, id=name) as tab:
                    notice = region(f"notice-{name}", "notice")
                    built.append((module, module.build(), shell.at(name, tab, notice)))
        for module, components, at in built:
            module.wire(components, at)
        run_bar.wire(bar, shell)
        shell.load(page)
    _rest(page)
    return page, shell


def _rest(page: gr.Blocks) -> None:
    """Have the queue look a hundred times a second for work, not a thousand: at rest that is 2 % of a core less."""
    queue = page._queue
    queue.sleep_when_free, queue.progress_update_sleep_when_free = 0.01, 1.0
