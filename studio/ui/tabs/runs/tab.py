"""Runs: all runs in a table with their results and differences, and actions on them."""

from collections.abc import Callable
from functools import cache

from studio.schema.events import EvaluationEvent, ReadEvent
from studio.ui.components.basic import Primary, action_bar, heading
from studio.ui.components.markup import Html, html
from studio.ui.components.model_title import model_title
from studio.ui.components.run_table import Line, table
from studio.ui.http.run_updates import method_titles
from studio.ui.http.uploads import Uploads
from studio.ui.selected import open_run
from studio.ui.shell import Handler, PageShell
from studio.ui.tabs import recovery_notice
from studio.ui.tabs.base import Components
from studio.ui.tabs.runs import (
    adapter_merge,
    bulk_actions,
    compare,
    filters,
    new_run,
    open_adapter,
    run_detail,
    storage,
)
from studio.ui.visitors.session import Visit

NO_OTHERS = {
    False: ("All runs are archived", "Tick Archived to see them."),
    True: ("No run is archived", "Untick Archived to see the other runs."),
}
"""Whether archived runs are shown → what is said when there are none of the kind that is shown."""
VIEWER_ACTIONS = frozenset(
    {"choose-several", "find", "find-archived", "find-dataset", "find-sort", "find-tag", "look", "more", "open"}
    | {"pick", "storage", "weigh"}
)
"""Actions that change nothing but what the viewer of a team sees."""


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""
    shell.page(c.showing(drawn))
    # Drawn again even when refused: another tab may have deleted the run.
    always: dict[str, Callable[[Visit], None]] = {
        "open": lambda visit: open_run(visit, visit.studio.runs.get(visit.text("run", 100)).id),
        "delete": delete,
        "resume": lambda visit: open_run(visit, visit.studio.runs.resume(visit.text("run", 100)).id),
        "pick": compare.pick,
        "move": move,
        **{name: run_detail.ACTS[name] for name in ("run-archive", "run-pause", "run-resume", "run-checkpoints")},
    }
    # Not drawn again when refused: what was typed stays.
    unless_refused: dict[str, Callable[[Visit], None]] = {
        "rename": rename,
        "renaming": start_renaming,
        "weigh": adapter_merge.weigh,
        "combine-how": adapter_merge.choose_how,
        "combine": adapter_merge.combine,
        "file": lambda visit: import_runs(visit, shell.shell.files),
        **filters.ACTS,
        **run_detail.ACTS,
        **storage.ACTS,
        **open_adapter.ACTS,
        **recovery_notice.ACTS,
        **new_run.ACTS,
    }
    acts: dict[str, Handler] = {
        **shell.then_drawn(unless_refused, when_refused=False),
        **run_detail.LEADING,
        **new_run.LEADING,
        **storage.LEADING,
        **shell.then_drawn(always),
        "look": shell.drawn,
    }
    shell.actions(c.body, acts)
    acts_below = {**bulk_actions.ACTS, "new-run": new_run.open_empty}
    shell.actions(c.actions, shell.then_drawn(acts_below))


# --- what a person does ---


def import_runs(visit: Visit, files: Uploads) -> None:
    """Import runs from the files that were just sent."""
    for ticket in visit.text("tickets").split()[:20]:
        path = files.take(visit.workspace, ticket)
        try:
            visit.studio.saved.import_archive(path)
        finally:
            files.forget(path)


def move(visit: Visit) -> None:
    """Move a queued run up or down in the queue."""
    visit.studio.runs.move(visit.text("run", 100), "up" if visit.text("way", 10) == "up" else "down")


def start_renaming(visit: Visit) -> None:
    """Show a field for the name of a run."""
    visit.remember(renaming=visit.text("run", 100))


def rename(visit: Visit) -> None:
    """Rename a run."""
    visit.remember(renaming="")
    visit.studio.saved.annotate(visit.text("run", 100), visit.text("value", 500))


def delete(visit: Visit) -> None:
    """Delete a run."""
    run = visit.text("run", 100)
    name = visit.studio.runs.get(run).name
    visit.studio.runs.delete(run)
    visit.done_message = f"The run “{name}” was deleted."
    if visit.choices.run == run:
        visit.choose(run="", reached=())


# --- what is shown ---


def drawn(visit: Visit) -> tuple[Html, Html]:
    """Body and action bar. A damaged database may be why there are no runs, so the notice is shown then too."""
    query = filters.current(visit)
    if query.any:
        lines, renaming = read(visit, query), str(visit.choices.extra.get("renaming", ""))
        side = html("{f}{b}", f=filters.panel(visit, query), b=_import_button(visit))
        records = [each.record for each in lines]
        listing = table(lines, visit.choices.run, renaming, side, query.datasets.get(query.dataset, ""))
        if not lines and not query.narrows:
            title, words = NO_OTHERS[query.archived]
            listing = heading(title, words, side)
        runs = html(
            "{t}{m}{c}",
            t=listing,
            m=compare.panel(visit, records),
            c=adapter_merge.panel(visit, records),
        )
        actions = bulk_actions.bar(lines, query.archived)
    else:
        words = "Runs appear here with their curves, settings and results."
        runs = heading("No runs yet", words, _import_button(visit))
        actions = action_bar("Start a run in the Method tab.", Primary("Choose a model", goto="model"))
    body = html(
        '<div class="stack">{notice}{runs}{drafts}{opening}{storage}</div>',
        notice=recovery_notice.panel(visit),
        runs=runs,
        drafts=new_run.panel(visit),
        opening=open_adapter.panel(visit),
        storage=storage.panel(visit),
    )
    return body, actions


def read(visit: Visit, query: filters.RunQuery) -> list[Line]:
    """The lines of the table: one for each run that matches."""
    studio = visit.studio
    datasets = {each.id: each.name for each in studio.datasets.all()}
    lines, waiting = [], [each.id for each in studio.runs.queued() if each.status == "queued"]
    opened_run, ticks = visit.choices.extra.get("opened"), compare.ticked(visit)
    models = cache(lambda model: model_title(studio, model))
    titles = cache(lambda model, task: method_titles(studio, model, task))
    for record in filters.records(visit, query):
        config, name = studio.runs.spec(record.id).config, datasets.get(record.dataset, "")
        checks, validation_rows = _checks(visit, record.id)
        waits = record.id in waiting
        lines.append(
            Line(
                record=record,
                config=config,
                method=titles(config.model, config.task).get(config.method, config.method),
                dataset=f"{name}, version {record.dataset_version}" if name else "",
                model=models(config.model),
                checks=checks,
                validation_rows=validation_rows,
                bytes=studio.runs.size(record.id),
                waits=studio.runs.progress(record.id).sentence if waits else "",
                ends=(record.id == waiting[0], record.id == waiting[-1]) if waits else (True, True),
                chosen=record.id in ticks,
                more=run_detail.panel(visit, record) if record.id == opened_run else None,
            )
        )
    return lines


def _checks(visit: Visit, run: str) -> tuple[tuple[tuple[int, float], ...], int]:
    """Step and validation loss of each validation, and its number of rows."""
    events = [each.event for each in visit.studio.runs.events(run, kinds=("evaluation", "read"))]
    losses = {each.step: each.eval_loss for each in events if isinstance(each, EvaluationEvent)}
    validation_rows = [each.held for each in events if isinstance(each, ReadEvent)]
    return tuple(sorted(losses.items())), validation_rows[-1] if validation_rows else 0


def _import_button(visit: Visit) -> Html | str:
    """A button that imports a run from a file. Not offered in a demo."""
    if visit.demo:
        return ""
    return html(
        '<label class="btn filebtn">Import run<input type="file" class="sr" data-file accept=".zip" '
        'aria-label="Import a run from a file"></label><div data-sending data-keep aria-live="polite"></div>'
    )
