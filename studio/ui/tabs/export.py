"""7 Export: the formats in which a fine-tuned model can be exported. Each export is loaded again and compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import gradio as gr

from studio.schema.runs import RunRecord
from studio.schema.views import ExportView
from studio.ui.components.basic import Primary, action_bar, alert, facts, heading, state, track
from studio.ui.components.region import region
from studio.ui.icons import icon
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.markup import Html, attrs, html
from studio.ui.numbers import about, size
from studio.ui.poll import filename
from studio.ui.selected import mark_done, selected, target_run
from studio.ui.session import Visit
from studio.ui.shell import PageShell, Updates


@dataclass(frozen=True)
class Components:
    """The parts of the tab."""

    body: gr.HTML
    actions: gr.HTML


def build() -> Components:
    """Make the tab's components."""
    return Components(body=region("export-body"), actions=region("export-actions", "actions-slot"))


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""

    def show(visit: Visit) -> Updates:
        run = selected(visit)
        if run is None or not run.has_result:
            why = f"{run.name} has no tuned model yet." if run else "There is no run yet."
            head = heading("Nothing to take away yet", f"{why} Export opens when a run has ended.")
            return {c.body: head, c.actions: action_bar("", Primary("Go to step 4", goto="train"), back="train")}
        views = visit.studio.exports.all(run.id)
        jobs = {view.format: JOBS.look(_key(visit, run, view.format)) for view in views}
        chosen = chosen_view(views, str(visit.choices.extra.get("format", "")))
        if any(view.done for view in views):
            mark_done(visit, "train", "export")
        return {c.body: body(run, views, chosen, jobs), c.actions: bar(run, chosen, jobs.get(chosen.format))}

    def choose(visit: Visit) -> Updates:
        visit.remember(format=visit.text("value", 30))
        return show(visit)

    def export(visit: Visit) -> Updates:
        run, studio, form = visit.studio.runs.get(target_run(visit)), visit.studio, visit.text("format", 30)
        JOBS.begin(_key(visit, run, form), Job(), lambda job: studio.exports.create(run.id, form, progress=job.advance))
        return show(visit)

    shell.page(show)
    shell.actions(c.body, {"look": show, "choose": choose})
    shell.actions(c.actions, {"export": export})


def _key(visit: Visit, run: RunRecord, form: str) -> Key:
    return visit.workspace, f"{run.id} export {form[:30]}"


def chosen_view(views: Sequence[ExportView], format_: str) -> ExportView:
    """The chosen format, else the first available one."""
    return next((view for view in views if view.format == format_ and not view.unavailable_reason), None) or next(
        (view for view in views if not view.unavailable_reason), views[0]
    )


def body(run: RunRecord, views: Sequence[ExportView], chosen: ExportView, jobs: dict[str, Job | None]) -> Html:
    """The formats on the left, the chosen one on the right."""
    step = f", step {run.best_step}" if run.best_step is not None else ""
    problems = [alert(job.error) for job in jobs.values() if job and job.error]
    again = any(job and not job.ended for job in jobs.values())
    return html(
        '<div class="stack">{problems}{head}<div class="cols exp"><section class="panel flush" '
        'aria-labelledby="forms"><div class="bar">'
        '<h2 id="forms">Formats</h2></div><div class="mlist" role="radiogroup" '
        'aria-labelledby="forms">{rows}</div></section>'
        "{detail}</div></div>{again}",
        problems=problems,
        head=heading(
            "Take it with you",
            f"{run.name}{step}. Each file is loaded again and its replies compared before it is offered.",
        ),
        rows=[_row(view, view.format == chosen.format, jobs.get(view.format)) for view in views],
        detail=detail(run, chosen),
        again=html('<button type="button" hidden data-act="look" data-quiet data-again="1000">Look again</button>')
        if again
        else "",
    )


def _row(view: ExportView, chosen: bool, job: Job | None) -> Html:
    off = bool(view.unavailable_reason)
    return html(
        '<label class="mrow {off}"><input type="radio"{attrs}><span class="grow"><span class="t">{title}</span>'
        '<span class="muted">{sentence}</span></span><span class="num c-size">{size}</span><span '
        'class="c-st">{state}</span></label>',
        off="off" if off else "",
        attrs=attrs(name="format", value=view.format, data_act="choose", checked=chosen, disabled=off),
        title=view.title,
        sentence=view.unavailable_reason or view.sentence,
        size=size(view.done.bytes if view.done else view.bytes),
        state=_state(view, job),
    )


def _state(view: ExportView, job: Job | None) -> Html:
    if job and not job.ended:
        left = f"{about(job.seconds_left)} left" if job.seconds_left else job.title or "loading the model"
        return html("{s}<small>{l}</small>", s=state("run", f"Making, {100 * job.share:.0f} %"), l=left)
    if view.done:
        return html("{s}<small>{t}</small>", s=state("ok", "Ready"), t="Loaded again and compared")
    return state(
        "idle", "Not here" if view.unavailable_reason else "Not made yet", "x" if view.unavailable_reason else "info"
    )


def detail(run: RunRecord, view: ExportView) -> Html:
    """The chosen format: its file, what was tested, how to use it."""
    if view.done is None:
        return html(
            '<section class="panel stack" aria-labelledby="form-title"><h2 '
            'id="form-title">{t}</h2><p>{s}</p>{f}</section>',
            t=view.title,
            s=view.unavailable_reason or view.sentence,
            f=facts([("About", size(view.bytes)), ("Not in it", "your rows, paths of this machine")]),
        )
    return html(
        '<section class="panel stack" aria-labelledby="form-title"><div class="row"><h2 id="form-title">{title}</h2>'
        '<span class="right">{ready}</span></div>{facts}<div class="stack tight"><div class="row"><h3>How to use '
        "it</h3>"
        '<button type="button" class="btn s right" data-copy="how-to-use" aria-label="Copy the '
        'lines">{copy}Copy</button></div>'
        '<pre id="how-to-use" tabindex="0" aria-label="How to use it">{how}</pre></div><div class="stack '
        'tight"><h3>Tested</h3>'
        '<p class="tested"><span class="state ok">{tick}</span> {tested}</p></div></section>',
        title=view.title,
        ready=state("ok", "Ready"),
        facts=facts(
            [
                ("File", f"{filename(run.name)}-{view.format}.zip"),
                ("Size", size(view.done.bytes)),
                ("Not in it", "your rows"),
            ]
        ),
        copy=icon("copy"),
        how=view.done.how_to_use,
        tick=icon("ok"),
        tested=view.done.tested,
    )


def bar(run: RunRecord, view: ExportView, job: Job | None) -> Html:
    """The action bar: make the export, or download it."""
    if job and not job.ended:
        wait = html(
            '<span class="row">{t}<span class="nowrap">{p:.0f} %</span></span>',
            t=track(job.share, label="Making"),
            p=100 * job.share,
        )
        return action_bar(wait, Primary("Making it", disabled=True), back="chat")
    if view.done is None:
        make = html(
            '<button type="button" class="btn primary" data-primary data-act="export" data-format="{f}" '
            'data-run="{r}"{off}>Make {t}</button>',
            f=view.format,
            r=run.id,
            t=view.title.lower(),
            off=attrs(disabled=bool(view.unavailable_reason)),
        )
        return _with(make, view.unavailable_reason or f"About {size(view.bytes)}, and loaded again to be sure.")
    take = html(
        '<button type="button" class="btn primary" data-primary data-download="{f}" data-run="{r}">{i}Download '
        "{s}</button>",
        f=view.format,
        r=run.id,
        i=icon("download"),
        s=size(view.done.bytes),
    )
    return _with(take, f"{filename(run.name)}-{view.format}.zip")


def _with(primary: Html, reason: str) -> Html:
    return html(
        '<section class="actions" aria-label="Next step"><button type="button" class="btn quiet" '
        'data-goto="chat">Back</button>'
        '<p class="why">{reason}</p>{primary}</section>',
        reason=reason,
        primary=primary,
    )
