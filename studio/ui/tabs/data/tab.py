"""Data: import of rows, roles of columns, and data checks."""

from contextlib import suppress

from studio.schema.errors import StudioError
from studio.ui.components.rows import IGNORE
from studio.ui.shell import PageShell
from studio.ui.tabs.base import Components
from studio.ui.tabs.data import (
    augmentation,
    check_progress,
    import_data,
    import_options,
    labeling,
    library,
    row_editor,
    splits,
    tokens,
    unlabeled,
    versions,
)
from studio.ui.tabs.data.rows import check_lengths, dataset_state, drawn, measurement_key
from studio.ui.tabs.data.stale_guard import of_this_dataset
from studio.ui.tabs.method.plan import prepare_early
from studio.ui.visitors.session import Visit

VIEWER_ACTIONS = frozenset(
    {"close-row", "compare", "compare-again", "compare-look", "label-order", "label-page", "label-search"}
    | {"label-show", "label-view", "library", "look", "look-again", "only", "open-row", "page", "reopen", "row"}
    | {"stop-comparing", "view"}
)
"""Actions that change nothing but what the viewer of a team sees."""


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""
    acts = {
        "view": pick_view,
        "map": map_column,
        "task": pick_task,
        "page": turn_page,
        "only": show_only,
        "fix": fix,
        "version": go_back,
        "measure": measure,
        "foresee": prepare_early,
        "file": lambda visit: import_data.take_files(visit, shell.shell.files),
        **check_progress.ACTS,
        **splits.ACTS,
        **versions.ACTS,
        **row_editor.ACTS,
        **augmentation.ACTS,
        **import_data.ACTS,
        **tokens.ACTS,
        **labeling.ACTS,
        **unlabeled.ACTS,
        **library.ACTS,
    }
    shell.page(c.showing(drawn))
    c.wire(shell, shell.then_drawn({name: of_this_dataset(act) for name, act in acts.items()}))


# --- actions ---


def pick_view(visit: Visit) -> None:
    """Choose a view of the data."""
    visit.choose(view=visit.text("value"))


def pick_task(visit: Visit) -> None:
    """Read the rows as another task's, with a model that can do it."""
    import_data.choose_task(visit, visit.text("value") or visit.text("task"))


def map_column(visit: Visit) -> None:
    """Give a column another role. The column that had it loses it.

    While the roles are unclear, columns without a chosen role stay open, so that the last one is inferred.
    """
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
        return  # the report beside the table has the error
    visit.remember(roles=None)
    visit.choose(page=1, only="")


def turn_page(visit: Visit) -> None:
    """Go to other rows of the table."""
    visit.choose(page=max(1, visit.whole("value", 1)))


def show_only(visit: Visit) -> None:
    """Show the rows with one kind of problem, or all. Truncated rows are shown as tokens."""
    kind = visit.text("finding")
    if kind == "too-long":
        visit.choose(view="tokens", row=max(1, visit.whole("row", 1)))
    else:
        visit.choose(view="rows", only=kind, page=1)


def fix(visit: Visit) -> None:
    """Remove or repair the rows with one kind of problem: a new version."""
    if import_options.fix(visit, visit.text("finding"), augmentation.every_row(visit)):
        visit.choose(page=1, only="", version=None)


def go_back(visit: Visit) -> None:
    """Make another version the current one."""
    visit.studio.versions.restore(visit.choices.dataset, visit.whole("version", 1))
    visit.choose(page=1, only="", version=None)


def measure(visit: Visit) -> None:
    """Count tokens after the table was drawn, while a worker is prepared for the next run."""
    key = measurement_key(visit)
    visit.studio.runs.prepare()
    with suppress(StudioError):
        check_lengths(visit)
    visit.remember(measured=key)
