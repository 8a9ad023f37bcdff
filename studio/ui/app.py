"""The page as Gradio Blocks: header, and tabs with a module each."""

import gradio as gr

from studio.ui import api, languages
from studio.ui.components import limits, project_menu, run_bar
from studio.ui.components.icons import icon
from studio.ui.components.markup import Html, attrs, html
from studio.ui.components.region import region
from studio.ui.http import docs, static
from studio.ui.http.uploads import Uploads
from studio.ui.shell import Shell
from studio.ui.tabs.registry import TABS
from studio.ui.tabs.runs import new_run
from studio.ui.visitors.session import Sessions

BRAND = html('<a class="brand" href="#" data-goto="model">{logo}Fine-tune Studio</a>', logo=icon("logo"))

SIGN_IN = html(
    '<span class="account"><a class="btn s" href="login" target="_blank" rel="noopener">Sign in with Hugging Face</a>'
    '<form method="post" action="logout" hidden><span translate="no"></span>'
    '<button class="btn s">Sign out</button></form></span>'
)
"""js/0-visitor.js shows the one or the other. Hugging Face's page can't be shown in the frame of a Space."""
LOGOUT = html('<form method="post" action="logout"><button class="btn s">Log out</button></form>')


def blocks(sessions: Sessions, files: Uploads, has_login: bool = False, has_sign_in: bool = False) -> gr.Blocks:
    """The whole page, wired, and what its tabs share."""
    with gr.Blocks(title="Fine-tune Studio", analytics_enabled=False, fill_width=True) as page:
        with gr.Row(elem_classes="top"):
            gr.HTML(BRAND, js_on_load=None, apply_default_css=False, elem_classes="brand-slot")
            bar = run_bar.build()
            if has_login:
                gr.HTML(LOGOUT, js_on_load=None, apply_default_css=False, elem_classes="brand-slot")
            if has_sign_in:
                gr.HTML(SIGN_IN, js_on_load=None, apply_default_css=False, elem_classes="brand-slot")
            projects = None if sessions.demo else project_menu.build()
            fresh = new_run.build()
            gr.HTML(_language_menu(), js_on_load=None, apply_default_css=False, elem_classes="language-slot")
            gr.HTML(_help(), js_on_load=None, apply_default_css=False, elem_classes="help-slot")
        if sessions.demo:
            gr.HTML(limits.banner(sessions.limits), js_on_load=None, apply_default_css=False)
        with gr.Tabs(elem_id="steps"):
            shell = Shell(sessions, files)
            built = []
            for name, tab in TABS.items():
                with gr.Tab(tab.title, id=name):
                    notice = region(f"notice-{name}", "notice")
                    built.append((tab, tab.build(), shell.at(name, notice, tab.viewer_actions)))
        for tab, components, at in built:
            tab.wire(components, at)
        run_bar.wire(bar, shell)
        new_run.wire(fresh, shell)
        if projects:
            project_menu.wire(projects, shell)
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


def _language_menu() -> Html:
    """The menu of languages. js/1-language.js chooses in it, and draws the page again when another is chosen."""
    options = [
        html('<option value="{code}" translate="no">{name}</option>', code=code, name=name)
        for code, name in languages.languages().items()
    ]
    return html(
        '<span class="ibox">{globe}<span class="select plain"><select class="language" aria-label="Language">{options}'
        "</select>{down}</span></span>",
        globe=icon("globe"),
        options=options,
        down=icon("down"),
    )


def _help() -> Html:
    """The link to the help page of the first tab. js/3-tabs.js changes it when another tab is opened."""
    page = next(iter(TABS.values())).help_page
    return html(
        '<a class="btn s help" target="_blank" rel="noopener" title="Help for this tab"{attrs}>?</a>',
        attrs=attrs(
            href=f"{docs.ADDRESS}{page or docs.INDEX}",
            hidden=not page,
            aria_label="Help for this tab",
            data_docs=docs.ADDRESS,
        ),
    )


def _slow_queue(page: gr.Blocks, unused: bool) -> None:
    """Let Gradio's queue, which only the API uses, look for work less often than each millisecond: at rest that saves
    2% of a core."""
    queue = page._queue
    queue.sleep_when_free, queue.progress_update_sleep_when_free = 1.0 if unused else 0.05, 1.0
