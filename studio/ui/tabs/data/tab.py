"""2 Data: bringing rows in, saying what the columns are, and looking at what is wrong with them."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.schema.errors import StudioError
from studio.ui.components.region import region
from studio.ui.components.rows import IGNORE
from studio.ui.session import Visit
from studio.ui.shell import PageShell
from studio.ui.tabs.data import (
    augmentation,
    check_progress,
    import_data,
    import_options,
    labeling,
    row_editor,
    splits,
    tokens,
    versions,
)
from studio.ui.tabs.data.rows import dataset_state, drawn, measurement_key
from studio.ui.tabs.data.stale_guard import of_this_dataset
from studio.ui.tabs.method.plan import foresee


@dataclass(frozen=True)
class Components:
    """The parts of the tab."""

    body: gr.HTML
    actions: gr.HTML


def build() -> Components:
    """Make the tab's components."""
    return Components(region("data-body"), region("data-actions", "actions-slot"))


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""

    def show(visit: Visit) -> dict[Any, Any]:
        body, actions = drawn(visit)
        return {c.body: body, c.actions: actions}

    def file(visit: Visit) -> None:
        import_data.take_files(visit, shell.shell.files)

    acts = {
        "view": pick_view,
        "map": map_column,
        "task": pick_task,
        "page": turn_page,
        "only": show_only,
        "fix": fix,
        "version": go_back,
        "measure": measure,
        "foresee": foresee,
        "file": file,
        **check_progress.ACTS,
        **splits.ACTS,
        **versions.ACTS,
        **row_editor.ACTS,
        **augmentation.ACTS,
        **import_data.ACTS,
        **tokens.ACTS,
        **labeling.ACTS,
    }
    shell.page(show)
    wired = {name: shell.then_drawn(of_this_dataset(act)) for name, act in acts.items()}
    for part in (c.body, c.actions):
        shell.actions(part, wired)


# --- what a person does ---


def pick_view(visit: Visit) -> None:
    """Look at the data another way."""
    visit.choose(view=visit.text("value"))


def pick_task(visit: Visit) -> None:
    """Read the rows as another task's, with a model that can do it."""
    import_data.choose_task(visit, visit.text("value") or visit.text("task"))


def map_column(visit: Visit) -> None:
    """Give a column another role; the column that had it is not used any more. While it is not clear which column is
    which, those that nobody spoke of stay open, so that the last one falls into place by itself."""
    chosen, column, role = visit.choices, visit.text("column"), visit.text("value")
    state, tried = dataset_state(visit), chosen.extra.get("roles") or {}
    if state.refused is None:
        roles = {name: played or IGNORE for name, played in state.roles.items()}
    else:
        roles = {name: tried[name] for name in state.record.columns if name in tried and tried["of"] == chosen.dataset}
    roles |= {name: IGNORE for name, played in roles.items() if played == role}
    roles[column] = role
    visit.remember(roles={"of": chosen.dataset, **roles})
    try:
        visit.studio.datasets.set_roles(chosen.dataset, chosen.task, roles)
    except StudioError:
        if dataset_state(visit).refused is None:
            raise
        return  # the doctor says it, beside the table
    visit.remember(roles=None)
    visit.choose(page=1, only="")


def turn_page(visit: Visit) -> None:
    """Go to other rows of the table."""
    visit.choose(page=max(1, visit.whole("value", 1)))


def show_only(visit: Visit) -> None:
    """Show the rows of one finding, or all again; rows that are cut are shown as tokens."""
    kind = visit.text("finding")
    if kind == "too-long":
        visit.choose(view="tokens", row=max(1, visit.whole("row", 1)))
    else:
        visit.choose(view="rows", only=kind, page=1)


def fix(visit: Visit) -> None:
    """Remove the rows of a finding: a new version."""
    if import_options.fix(visit, visit.text("finding"), augmentation.every_row(visit)):
        visit.choose(page=1, only="", version=None)


def go_back(visit: Visit) -> None:
    """Make another version the current one."""
    visit.studio.versions.restore(visit.choices.dataset, visit.whole("version", 1))
    visit.choose(page=1, only="", version=None)


def measure(visit: Visit) -> None:
    """Count tokens too, now that the table is on the screen, while a worker gets ready for the run that may follow."""
    key, chosen = measurement_key(visit), visit.choices
    visit.studio.runs.prepare()
    with suppress(StudioError):
        visit.studio.checks.check(
            chosen.dataset, chosen.task, model=chosen.model, max_length=chosen.settings.get("max_length")
        )
    visit.remember(measured=key)
