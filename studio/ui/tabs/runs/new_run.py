"""New runs: empty, like an earlier run, or from a draft; and the list of drafts under the table of runs."""

import gradio as gr

from studio.schema.numbers import ago
from studio.ui import run_drafts
from studio.ui.components import layout
from studio.ui.components.basic import button
from studio.ui.components.icons import icon
from studio.ui.components.markup import Html, Verbatim, html, join
from studio.ui.http import static
from studio.ui.run_drafts import Draft
from studio.ui.shell import Shell, Updates
from studio.ui.visitors.session import Visit


def open_empty(visit: Visit) -> None:
    """Start a new run in the Model tab: no task and no rows of an earlier one."""
    run_drafts.start_empty(visit)
    visit.goto("model")


def open_like(visit: Visit) -> None:
    """Start a new run in the Method tab, with task, model, rows and settings of another one."""
    run_drafts.start_like(visit, visit.studio.runs.get(visit.text("run", 100)))
    visit.goto("method")


def resume(visit: Visit) -> None:
    """Continue with a draft."""
    run_drafts.resume(visit, visit.text("draft", 40))


def delete(visit: Visit) -> None:
    """Delete a draft."""
    run_drafts.delete(visit, visit.text("draft", 40))


def panel(visit: Visit) -> Html:
    """The drafts, newest first. Nothing where there is none."""
    drafts = run_drafts.drafts(visit)
    if not drafts:
        return Html("")
    datasets = {each.id: each.name for each in visit.studio.datasets.all()}
    titles = {task.name: task.title for task in visit.studio.catalog.tasks()}
    rows = [_row(each, datasets.get(each.choices.dataset, ""), titles.get(each.choices.task, "")) for each in drafts]
    return layout.panel("Drafts", "drafts", html('<ul class="list opts">{rows}</ul>', rows=rows))


def _row(draft: Draft, dataset: str, task: str) -> Html:
    name = draft.name or dataset
    facts = [Verbatim(dataset) if dataset else "its dataset was deleted", task, ago(draft.time)]
    return html(
        '<li data-key="draft-{id}"><span class="grow"><b class="cut">{name}</b><small>{facts}</small></span>{go}{x}'
        "</li>",
        id=draft.id,
        name=Verbatim(name) if name else "Draft",
        facts=join(filter(None, facts), " · "),
        go=button("Continue", "draft-open", "s", draft=draft.id, aria_label=f"Continue the draft {name}"),
        x=button(
            "Delete",
            "draft-delete",
            "s quiet danger",
            draft=draft.id,
            aria_label=f"Delete the draft {name}",
            confirm=f"Delete the draft “{name}”? Its dataset stays.",
        ),
    )


# --- the button in the header ---


def build() -> gr.HTML:
    """Make the button. It is there on all tabs."""
    made = html(
        '<div class="slot"><button type="button" class="btn s" data-act="new-run" title="New run" aria-label="New run">'
        '{icon}<span class="hide-s">New run</span></button></div>',
        icon=icon("plus"),
    )
    return gr.HTML(
        value="",
        html_template=made,
        js_on_load="window.studio.region(element)",
        head=static.head(),
        apply_default_css=False,
        elem_id="new-run",
        elem_classes=["new-run-slot"],
    )


def wire(part: gr.HTML, shell: Shell) -> None:
    """The button starts a new run in the Model tab, which is drawn again if it is the open one."""

    def pressed(visit: Visit) -> Updates:
        on_model = visit.choices.tab == "model"
        open_empty(visit)
        return shell.pages["model"].drawn(visit) if on_model else None

    shell.pages["model"].actions(part, {"new-run": pressed})


LEADING = {"run-like": open_like, "draft-open": resume}
"""Actions after which another tab opens."""
ACTS = {"draft-delete": delete}
