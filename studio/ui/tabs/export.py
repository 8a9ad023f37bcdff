"""The Export tab: the formats in which a fine-tuned model can be exported. Each export is loaded again and compared."""

from collections.abc import Sequence

from studio.schema.numbers import about, size
from studio.schema.runs import RunRecord
from studio.schema.views import ExportView
from studio.ui.components.basic import Primary, action_bar, alert, facts, heading, state, track
from studio.ui.components.layout import look_again, panel, stack
from studio.ui.icons import icon
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.markup import Html, Verbatim, attrs, html
from studio.ui.poll import filename
from studio.ui.selected import mark_done, selected, target_run, without_result
from studio.ui.session import Visit
from studio.ui.shell import PageShell
from studio.ui.tabs.base import Components, act_then_show


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""
    show = c.showing(drawn)
    shell.page(show)
    shell.actions(c.body, {"look": show, "choose": act_then_show(choose, show)})
    shell.actions(c.actions, {"export": act_then_show(export, show)})


def choose(visit: Visit) -> None:
    """Choose a format."""
    visit.remember(format=visit.text("value", 30))


def export(visit: Visit) -> None:
    """Make the export in the background."""
    run, studio, form = visit.studio.runs.get(target_run(visit)), visit.studio, visit.text("format", 30)
    JOBS.begin(_key(visit, run, form), Job(), lambda job: studio.exports.create(run.id, form, progress=job.advance))


def drawn(visit: Visit) -> tuple[Html, Html]:
    """Body and action bar."""
    run = selected(visit)
    if run is None or not run.has_result:
        head = heading("Nothing to export yet", f"{without_result(run)} Export opens when a run has ended.")
        return head, action_bar("", Primary("Open Train", goto="train"), back="train")
    views = visit.studio.exports.all(run.id)
    jobs = {view.format: JOBS.look(_key(visit, run, view.format)) for view in views}
    chosen = chosen_view(views, str(visit.choices.extra.get("format", "")))
    if any(view.done for view in views):
        mark_done(visit, "train", "export")
    return body(run, views, chosen, jobs), bar(run, chosen, jobs.get(chosen.format))


def _key(visit: Visit, run: RunRecord, form: str) -> Key:
    return visit.workspace, f"{run.id} export {form[:30]}"


def chosen_view(views: Sequence[ExportView], format_: str) -> ExportView:
    """The chosen format, else the first available one."""
    able = [view for view in views if not view.unavailable_reason] or views
    return next((view for view in able if view.format == format_), able[0])


def body(run: RunRecord, views: Sequence[ExportView], chosen: ExportView, jobs: dict[str, Job | None]) -> Html:
    """The formats on the left, the chosen one on the right."""
    step = f", checkpoint from step {run.best_step}" if run.best_step is not None else ""
    words = html(
        "{n}{step}. <span>{s}</span>",
        n=Verbatim(run.name),
        step=step,
        s="Each export is loaded again and its replies are compared.",
    )
    rows = [_row(view, view.format == chosen.format, jobs.get(view.format)) for view in views]
    listed = html('<div class="mlist" role="radiogroup" aria-labelledby="forms">{rows}</div>', rows=rows)
    return html(
        '<div class="stack">{problems}{head}<div class="cols exp">{formats}{detail}</div></div>{again}',
        problems=[alert(job.error) for job in jobs.values() if job and job.error],
        head=heading("Export the fine-tuned model", words),
        formats=panel("Formats", "forms", listed),
        detail=detail(run, chosen),
        again=any(job and not job.ended for job in jobs.values()) and look_again(1000),
    )


def _row(view: ExportView, chosen: bool, job: Job | None) -> Html:
    off = bool(view.unavailable_reason)
    return html(
        '<label class="mrow {off}"><input type="radio"{attrs}><span class="grow"><span class="t">{title}</span><span '
        'class="muted">{sentence}</span></span><span class="num c-size">{size}</span><span class="c-st">{state}</span>'
        "</label>",
        off="off" if off else "",
        attrs=attrs(name="format", value=view.format, data_act="choose", checked=chosen, disabled=off),
        title=view.title,
        sentence=view.unavailable_reason or view.sentence,
        size="" if off and not view.done else size(view.done.bytes if view.done else view.bytes),
        state=_state(view, job),
    )


def _state(view: ExportView, job: Job | None) -> Html:
    if job and not job.ended:
        left = f"{about(job.seconds_left)} left" if job.seconds_left else job.title or "loading the model"
        return html("{s}<small>{l}</small>", s=state("run", f"Exporting, {100 * job.share:.0f}%"), l=left)
    if view.done:
        return html("{s}<small>Loaded and compared</small>", s=state("ok", "Ready"))
    return state("idle", "Not available", "x") if view.unavailable_reason else state("idle", "Not exported yet")


def detail(run: RunRecord, view: ExportView) -> Html:
    """The chosen format: its file, what was tested, how to use it."""
    if view.done is None:
        known = facts([("Size", f"about {size(view.bytes)}"), ("Left out", "your rows, paths on this machine")])
        words = view.unavailable_reason or view.sentence
        return stack(view.title, "form-title", html("<p>{s}</p>{f}", s=words, f=known), "")
    name = f"{filename(run.name)}-{view.format}.zip"
    return html(
        '<section class="panel stack" aria-labelledby="form-title"><div class="row"><h2 id="form-title">{title}</h2>'
        '<span class="right">{ready}</span></div>{facts}<div class="stack tight"><div class="row"><h3>How to use it'
        '</h3><button type="button" class="btn s right" data-copy="how-to-use" aria-label="Copy the code">{copy}Copy'
        '</button></div><pre id="how-to-use" tabindex="0" aria-label="How to use it">{how}</pre></div><div '
        'class="stack tight"><h3>Tested</h3><p class="tested"><span class="state ok">{tick}</span> {tested}</p></div>'
        "</section>",
        title=view.title,
        ready=state("ok", "Ready"),
        facts=facts([("File", Verbatim(name)), ("Size", size(view.done.bytes)), ("Left out", "your rows")]),
        copy=icon("copy"),
        how=view.done.how_to_use,
        tick=icon("ok"),
        tested=view.done.tested,
    )


def bar(run: RunRecord, view: ExportView, job: Job | None) -> Html:
    """The action bar: make the export, or download it."""
    if job and not job.ended:
        words = f"{100 * job.share:.0f}%"
        wait = '<span class="row">{t}<span class="nowrap">{p}</span></span>'
        making = html(wait, t=track(job.share, label="Exporting"), p=words)
        return action_bar(making, Primary("Exporting", disabled=True), back="chat")
    if view.done:
        press, words = {"data_download": view.format}, Verbatim(f"{filename(run.name)}-{view.format}.zip")
        label = html("{i}Download {s}", i=icon("download"), s=size(view.done.bytes))
    else:
        press = {"data_act": "export", "data_format": view.format}
        words = view.unavailable_reason or f"About {size(view.bytes)}. The export is loaded again to test it."
        label = html("Export {t}", t=view.title.lower())
    primary = html(
        '<button type="button" class="btn primary" data-primary{attrs}>{label}</button>',
        attrs=attrs(**press, data_run=run.id, disabled=bool(view.unavailable_reason) and not view.done),
        label=label,
    )
    return action_bar(words, primary, back="chat")
