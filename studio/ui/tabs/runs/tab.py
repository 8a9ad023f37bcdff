"""Runs: all runs in a table with their results and differences, and actions on them."""

from dataclasses import dataclass, replace

import gradio as gr

from studio.schema.errors import StudioError
from studio.schema.events import EvaluationEvent
from studio.schema.runs import RunRecord
from studio.ui.components.basic import Primary, action_bar, heading
from studio.ui.components.region import region
from studio.ui.components.run_table import Line, table
from studio.ui.markup import Html, html
from studio.ui.session import Visit
from studio.ui.shell import Handler, PageShell, Updates
from studio.ui.tabs import recovery_notice
from studio.ui.tabs.base import act_then_show
from studio.ui.tabs.runs import adapter_merge, bulk_actions, compare, filters, run_detail, storage
from studio.ui.uploads import Uploads


@dataclass(frozen=True)
class Components:
    """The parts of the tab."""

    body: gr.HTML
    actions: gr.HTML


def build() -> Components:
    """Make the tab's components."""
    return Components(body=region("runs-body"), actions=region("runs-actions", "actions-slot"))


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""

    def show(visit: Visit) -> Updates:
        body, actions = drawn(visit)
        return {c.body: body, c.actions: actions}

    def import_files(visit: Visit) -> None:
        import_runs(visit, shell.shell.files)

    then_drawn = {  # drawn again even when refused: another tab may have deleted the run
        "look": look,
        "open": open_run,
        "delete": delete,
        "resume": resume,
        "pick": compare.pick,
        "move": move,
        **{name: run_detail.ACTS[name] for name in ("run-archive", "run-pause", "run-resume", "run-checkpoints")},
    }
    then_shown = {  # not drawn again when refused: what was typed stays
        "rename": rename,
        "renaming": start_renaming,
        "weigh": adapter_merge.weigh,
        "combine-how": adapter_merge.choose_how,
        "combine": adapter_merge.combine,
        "file": import_files,
        **filters.ACTS,
        **run_detail.ACTS,
        **storage.ACTS,
        **recovery_notice.ACTS,
    }
    acts: dict[str, Handler] = {
        **{name: act_then_show(act, show) for name, act in then_shown.items()},
        **run_detail.LEADING,
        **{name: shell.then_drawn(act) for name, act in then_drawn.items()},
    }
    shell.page(show)
    shell.actions(c.body, acts)
    shell.actions(c.actions, {name: shell.then_drawn(act) for name, act in bulk_actions.ACTS.items()})


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
    """Move a waiting run up or down in the queue."""
    visit.studio.runs.move(visit.text("run", 100), "up" if visit.text("way", 10) == "up" else "down")


def open_run(visit: Visit) -> None:
    """Select a run and open the Train tab."""
    _select(visit, visit.studio.runs.get(visit.text("run", 100)))


def resume(visit: Visit) -> None:
    """Resume a run and open the Train tab."""
    _select(visit, visit.studio.runs.resume(visit.text("run", 100)))


def _select(visit: Visit, run: RunRecord) -> None:
    visit.choose(run=run.id, reached=())
    visit.goto("train")


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
    visit.studio.runs.delete(run)
    if visit.choices.run == run:
        visit.choose(run="", reached=())


def look(visit: Visit) -> None:
    """Draw the table as it is now."""


# --- what is shown ---


def drawn(visit: Visit) -> tuple[Html, Html]:
    """Body and action bar."""
    query = filters.current(visit)
    if not query.any:
        return empty(visit), action_bar("A run starts from step 3.", Primary("Go to step 1", goto="model"))
    lines, renaming = read(visit, query), str(visit.choices.extra.get("renaming", ""))
    side = html("{f}{b}", f=filters.panel(visit, query), b=_import_button(visit))
    records = [each.record for each in lines]
    body = html(
        '<div class="stack">{d}{t}{m}{c}{s}</div>',
        d=recovery_notice.panel(visit),
        m=compare.panel(visit, records),
        t=table(lines, visit.choices.run, renaming, side, query.datasets.get(query.dataset, "")),
        c=adapter_merge.panel(visit, records),
        s=storage.panel(visit),
    )
    return body, bulk_actions.bar(lines, query.archived)


def empty(visit: Visit) -> Html:
    """The page without runs. A damaged database may be the reason, so the recovery notice is shown here too."""
    words = "Each run is kept here with its curve, settings and result."
    return html(
        '<div class="stack">{d}{h}{s}</div>',
        d=recovery_notice.panel(visit),
        h=heading("No runs yet", words, _import_button(visit)),
        s=storage.panel(visit),
    )


def read(visit: Visit, query: filters.RunQuery) -> list[Line]:
    """The lines of the table: one for each run that matches."""
    studio = visit.studio
    datasets = {each.id: each.name for each in studio.datasets.all()}
    titles: dict[tuple[str, str], dict[str, str]] = {}
    lines, waiting = [], [each.id for each in studio.runs.queued() if each.status == "queued"]
    opened_run, ticks = visit.choices.extra.get("opened"), compare.ticked(visit)
    for record in filters.records(visit, query):
        config = studio.runs.spec(record.id).config
        kind = (config.model, config.task)
        if kind not in titles:
            titles[kind] = _titles(visit, *kind)
        method = titles[kind].get(config.method, config.method)
        name = datasets.get(record.dataset, "")
        dataset = f"{name}, version {record.dataset_version}" if name else ""
        line = Line(record, config, method, dataset, _checks(visit, record.id), studio.runs.size(record.id))
        line = replace(line, chosen=record.id in ticks)
        if record.id in waiting:
            ends = (record.id == waiting[0], record.id == waiting[-1])
            line = replace(line, waits=studio.runs.progress(record.id).sentence, ends=ends)
        if record.id == opened_run:
            line = replace(line, more=run_detail.panel(visit, record))
        lines.append(line)
    return lines


def _titles(visit: Visit, model: str, task: str) -> dict[str, str]:
    try:
        return {each.name: each.title for each in visit.studio.catalog.methods(model, task)}
    except StudioError:
        return {}


def _checks(visit: Visit, run: str) -> tuple[tuple[int, float], ...]:
    events = [each.event for each in visit.studio.runs.events(run, kinds=("evaluation",))]
    return tuple(sorted({each.step: each.eval_loss for each in events if isinstance(each, EvaluationEvent)}.items()))


def _import_button(visit: Visit) -> Html | str:
    """A button that imports a run from a file. Not offered in a demo."""
    if visit.demo:
        return ""
    return html(
        '<label class="btn filebtn">Bring a run in<input type="file" class="sr" data-file accept=".zip" '
        'aria-label="Bring a run in from a file"></label><div data-sending data-keep aria-live="polite"></div>'
    )
