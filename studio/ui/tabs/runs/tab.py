"""Owns: all runs in one table: how they went, what they differ in, and the way back into each."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import gradio as gr

from studio.schema.errors import StudioError
from studio.schema.events import EvaluationEvent
from studio.ui.components.basic import Primary, action_bar, heading
from studio.ui.components.region import region
from studio.ui.components.run_table import Line, table
from studio.ui.markup import Html, html
from studio.ui.session import Visit
from studio.ui.shell import Handler, PageShell, Updates
from studio.ui.tabs import recovery_notice
from studio.ui.tabs.runs import adapter_merge, bulk_actions, compare, filters, run_detail, storage


@dataclass(frozen=True)
class Components:
    """What the tab is made of."""

    body: gr.HTML
    actions: gr.HTML


def build() -> Components:
    """Inside the tab."""
    return Components(body=region("runs-body"), actions=region("runs-actions", "actions-slot"))


def wire(c: Components, shell: PageShell) -> None:
    """What happens when the tab is opened, and when a person acts."""

    def show(visit: Visit) -> Updates:
        wanted = filters.asked(visit)
        if not wanted.any:
            return {
                c.body: empty(visit),
                c.actions: action_bar("A run starts from step 3.", Primary("Go to step 1", goto="model")),
            }
        lines, renaming = read(visit, wanted), str(visit.choices.extra.get("renaming", ""))
        side = html("{f}{b}", f=filters.panel(visit, wanted), b=_bring(visit))
        return {
            c.body: html(
                '<div class="stack">{d}{t}{m}{c}{s}</div>',
                d=recovery_notice.panel(visit),
                m=compare.panel(visit, [each.record for each in lines]),
                t=table(lines, visit.choices.run, renaming, side, wanted.datasets.get(wanted.dataset, "")),
                c=adapter_merge.panel(visit, [each.record for each in lines]),
                s=storage.panel(visit),
            ),
            c.actions: bulk_actions.bar(lines, wanted.archived),
        }

    def take_in(visit: Visit) -> None:
        for ticket in visit.text("tickets").split()[:20]:
            path = shell.shell.files.take(visit.workspace, ticket)
            try:
                visit.studio.saved.import_archive(path)
            finally:
                shell.shell.files.forget(path)

    def move(visit: Visit) -> None:
        visit.studio.runs.move(visit.text("run", 100), "up" if visit.text("way", 10) == "up" else "down")

    def look_into(visit: Visit) -> None:
        run = visit.studio.runs.get(visit.text("run", 100))
        visit.choose(run=run.id, reached=())
        visit.goto("train")

    def rename(visit: Visit) -> Updates:
        visit.remember(renaming="")
        visit.studio.saved.annotate(visit.text("run", 100), visit.text("value", 500))
        return show(visit)

    def renaming(visit: Visit) -> Updates:
        visit.remember(renaming=visit.text("run", 100))
        return show(visit)

    def delete(visit: Visit) -> None:
        run = visit.text("run", 100)
        visit.studio.runs.delete(run)
        if visit.choices.run == run:
            visit.choose(run="", reached=())

    def look(visit: Visit) -> None:
        """Draw the table as it is now."""

    def resume(visit: Visit) -> None:
        run = visit.studio.runs.resume(visit.text("run", 100))
        visit.choose(run=run.id, reached=())
        visit.goto("train")

    def then_shown(act: Callable[[Visit], None]) -> Callable[[Visit], Updates]:
        def done(visit: Visit) -> Updates:
            act(visit)
            return show(visit)

        return done

    shell.page(show)
    drawn_anyway = {  # refused or not: another tab may have deleted the run; what was typed is nowhere lost by it
        "look": look,
        "open": look_into,
        "delete": delete,
        "resume": resume,
        "pick": compare.pick,
        "move": move,
        **{name: run_detail.ACTS[name] for name in ("run-archive", "run-pause", "run-resume", "run-checkpoints")},
    }
    acts: dict[str, Handler] = {
        "rename": rename,
        "renaming": renaming,
        "weigh": then_shown(adapter_merge.weigh),
        "combine-how": then_shown(adapter_merge.choose_how),
        "combine": then_shown(adapter_merge.combine),
        "file": then_shown(take_in),
        **{
            name: then_shown(act)
            for part in (filters, run_detail, storage, recovery_notice)
            for name, act in part.ACTS.items()
        },
        **run_detail.LEADING,
        **{name: shell.then_drawn(act) for name, act in drawn_anyway.items()},
    }
    shell.actions(c.body, acts)
    shell.actions(c.actions, {name: shell.then_drawn(act) for name, act in bulk_actions.ACTS.items()})


def empty(visit: Visit) -> Html:
    """The page without a run; what was lost with a damaged database may be the reason, so that it is told here too."""
    words = "Each run is kept here with its curve, settings and result."
    return html(
        '<div class="stack">{d}{h}{s}</div>',
        d=recovery_notice.panel(visit),
        h=heading("No runs yet", words, _bring(visit)),
        s=storage.panel(visit),
    )


def read(visit: Visit, wanted: filters.Asked) -> list[Line]:
    """What the table says of every run that is asked for."""
    studio = visit.studio
    datasets = {each.id: each.name for each in studio.datasets.all()}
    titles: dict[tuple[str, str], dict[str, str]] = {}
    lines, waiting = [], [each.id for each in studio.runs.queued() if each.status == "queued"]
    opened_run, ticks = visit.choices.extra.get("opened"), compare.ticked(visit)
    for record in filters.records(visit, wanted):
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


def _bring(visit: Visit) -> Html | str:
    """Taking in a run from a file; a visitor of a demo may not."""
    if visit.demo:
        return ""
    return html(
        '<label class="btn filebtn">Bring a run in<input type="file" class="sr" data-file accept=".zip" '
        'aria-label="Bring a run in from a file"></label><div data-sending data-keep aria-live="polite"></div>'
    )
