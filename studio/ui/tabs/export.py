"""The Export tab: the formats in which a fine-tuned model can be exported. Each export is loaded again and compared."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from studio.schema.exports import ExportView
from studio.schema.numbers import duration, size
from studio.schema.report import ExportResult, Usage
from studio.schema.runs import RunRecord
from studio.ui.components.basic import (
    Field,
    Primary,
    action_bar,
    alert,
    button,
    facts,
    heading,
    note,
    select_input,
    state,
    track,
)
from studio.ui.components.icons import icon
from studio.ui.components.layout import look_again, panel, scroll_table, stack
from studio.ui.components.markup import Html, Verbatim, attrs, html
from studio.ui.http.poll import filename
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.selected import mark_done, selected, target_run, until_result, without_result
from studio.ui.shell import PageShell
from studio.ui.tabs import api_server, hub_upload
from studio.ui.tabs.base import Components
from studio.ui.visitors.session import Visit

Options = Mapping[str, str]
"""Chosen options of a format: name → value."""
NO_OPTIONS: Options = MappingProxyType({})
PROPER_NAMES = ("Ollama", "Space")
"""Titles of formats that keep their capital letter within a sentence."""
VIEWER_ACTIONS = frozenset({"choose", "look", "option"})
"""Actions that change nothing but what the viewer of a team sees."""


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""
    shell.page(c.showing(drawn))
    above = {"choose": choose, "option": option, **hub_upload.ACTS, **api_server.ACTS}
    below = {"export": export, "cancel-export": cancel_export, "install": install, "cancel-install": cancel_install}
    shell.actions(c.body, {"look": shell.drawn, **shell.then_drawn(above, when_refused=False)})
    shell.actions(c.actions, shell.then_drawn(below, when_refused=False))


def choose(visit: Visit) -> None:
    """Choose a format."""
    visit.remember(format=visit.text("value", 30))


def option(visit: Visit) -> None:
    """Choose the value of an option of a format."""
    visit.add("export-options", **{f"{visit.text('format', 30)} {visit.text('option', 30)}": visit.text("value", 30)})


def export(visit: Visit) -> None:
    """Make the export in the background."""
    run, studio, form = visit.studio.runs.get(target_run(visit)), visit.studio, visit.text("format", 30)
    options = options_of(visit, next((view for view in studio.exports.all(run.id) if view.format == form), None))
    JOBS.begin(
        _key(visit, run, form),
        Job(title="Waiting for its turn"),
        lambda job: studio.exports.create(run.id, form, progress=job.advance_or_end, options=options),
    )


def cancel_export(visit: Visit) -> None:
    """Cancel the export. It ends at its next step, and nothing of it stays."""
    run = visit.studio.runs.get(target_run(visit))
    JOBS.cancel(_key(visit, run, visit.text("format", 30)))
    visit.done_message = "The export was canceled."


def install(visit: Visit) -> None:
    """Install the packages that a format needs, in the background."""
    run, studio, form = visit.studio.runs.get(target_run(visit)), visit.studio, visit.text("format", 30)
    studio.context.require_owner("Installing packages")
    options = options_of(visit, next((view for view in studio.exports.all(run.id) if view.format == form), None))
    JOBS.begin(
        _install_key(visit),
        Job(),
        lambda job: studio.exports.install_tools(run.id, form, options, job.advance, job.cancelled),
    )


def cancel_install(visit: Visit) -> None:
    """Cancel the installation."""
    visit.studio.context.require_owner("Installing packages")
    JOBS.cancel(_install_key(visit))


def drawn(visit: Visit) -> tuple[Html, Html]:
    """Body and action bar."""
    run = selected(visit)
    if run is None or not run.has_result:
        head = heading("Nothing to export yet", f"{without_result(run)} Export opens when a run has ended.")
        return head + until_result(run), action_bar(
            "First train a model to the end.", Primary("Open Train", goto="train"), back="train"
        )
    views = visit.studio.exports.all(run.id)
    jobs = {view.format: visit.job(_key(visit, run, view.format)) for view in views}
    chosen = chosen_view(views, str(visit.choices.extra.get("format", "")))
    options, installing = options_of(visit, chosen), visit.job(_install_key(visit))
    if any(view.done for view in views):
        mark_done(visit, "train", "export")
    formats = body(run, views, chosen, {**jobs, "": installing}, options)
    return (
        html(
            '<div class="stack">{formats}{upload}{api}</div>',
            formats=formats,
            upload=hub_upload.panel(visit, run, chosen),
            api=api_server.panel(visit, run),
        ),
        bar(run, chosen, jobs.get(chosen.format), options, installing),
    )


def _key(visit: Visit, run: RunRecord, form: str) -> Key:
    return visit.workspace, f"{run.id} export {form[:30]}"


def _install_key(visit: Visit) -> Key:
    return visit.workspace, "install tools for exports"


def options_of(visit: Visit, view: ExportView | None) -> dict[str, str]:
    """The value of each option of a format: what the user chose, else that of the export that exists, else the
    default."""
    if view is None:
        return {}
    kept = visit.choices.extra.get("export-options")
    chosen = kept if isinstance(kept, dict) else {}
    exported = view.done.options if view.done else {}
    return view.chosen(
        {each.name: str(chosen.get(f"{view.format} {each.name}", exported.get(each.name, ""))) for each in view.options}
    )


def chosen_view(views: Sequence[ExportView], format_: str) -> ExportView:
    """The chosen format, else the first that has been exported, else the first available one without a warning."""
    able = [view for view in views if not view.unavailable_reason] or views
    chosen = [view for view in able if view.format == format_]
    exported = [view for view in able if view.done]
    usual = [view for view in able if not view.warning]
    return next(iter((*chosen, *exported, *usual, *able)))


def body(
    run: RunRecord,
    views: Sequence[ExportView],
    chosen: ExportView,
    jobs: Mapping[str, Job | None],
    options: Options = NO_OPTIONS,
) -> Html:
    """The formats on the left, the chosen one on the right. `jobs`: by format, and the installation of tools."""
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
        detail=detail(run, chosen, options),
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
        size="" if off and not view.done else size(view.done.bytes if view.done else view.bytes_with(NO_OPTIONS)),
        state=_state(view, job),
    )


def _state(view: ExportView, job: Job | None) -> Html:
    if job and not job.ended:
        return html("{s}<small>{t}</small>", s=state("run", "Exporting"), t=job.title)
    if view.done:
        return html("{s}<small>Loaded and compared</small>", s=state("ok", "Ready"))
    return state("idle", "Not available", "x") if view.unavailable_reason else state("idle", "Not exported yet")


def detail(run: RunRecord, view: ExportView, options: Options = NO_OPTIONS) -> Html:
    """The chosen format: its options, its file, what was tested, how to use it."""
    if view.done is None:
        rows = ("Included", "your rows") if view.has_rows else ("Left out", "your rows, paths on this machine")
        known = facts([("Size", f"about {size(view.bytes_with(options))}"), rows])
        words = view.unavailable_reason or view.sentence
        rest = html(
            "<p>{s}</p>{w}{o}{t}{f}",
            s=words,
            w=_warning(view),
            o=_fields(view, options),
            t=_tools(view, options),
            f=known,
        )
        return stack(view.title, "form-title", rest, "")
    name = f"{filename(run.name)}-{view.format}.zip"
    rows = ("Included" if view.has_rows else "Left out", "your rows")
    exported = view.chosen(view.done.options)
    titles = [
        (each.title, choice.title)
        for each in view.options
        for choice in each.choices
        if choice.value == exported[each.name]
    ]
    return html(
        '<section class="panel stack" aria-labelledby="form-title"><div class="row"><h2 id="form-title">{title}</h2>'
        '<span class="right">{ready}</span></div>{warning}{facts}{options}{tools}{usages}<div '
        'class="stack tight"><h3>Tested</h3><p class="tested"><span class="state ok">{tick}</span> {tested}</p>'
        "{comparison}</div></section>",
        title=view.title,
        ready=state("ok", "Ready"),
        warning=_warning(view),
        facts=facts(
            [("File", Verbatim(name)), ("Size", size(view.done.bytes)), *titles, rows],
        ),
        options=_fields(view, options),
        tools=_tools(view, options),
        usages=[_usage(number, usage) for number, usage in enumerate(usages_of(view.done))],
        tick=icon("ok"),
        tested=view.done.tested,
        comparison=view.done.comparison and _table(view.done.comparison),
    )


def _warning(view: ExportView) -> Html:
    """Why another format is better for this run."""
    return note("warn", view.warning) if view.warning else Html("")


def usages_of(done: ExportResult) -> tuple[Usage, ...]:
    """How to use an export. Exports of earlier versions have one code."""
    return done.usages or (Usage(title="How to use it", language="python", code=done.how_to_use),)


def _usage(number: int, usage: Usage) -> Html:
    """One program: its name, its code, and a button that copies it."""
    key = f"how-to-use-{number}" if number else "how-to-use"
    return html(
        '<div class="stack tight"><div class="row"><h3>{title}</h3><button type="button" class="btn s right" '
        'data-copy="{key}" aria-label="Copy the code">{copy}Copy</button></div><pre id="{key}" tabindex="0" '
        'aria-label="How to use it">{code}</pre></div>',
        title="How to use it" if usage.language == "python" and not number else Verbatim(usage.title),
        key=key,
        copy=icon("copy"),
        code=usage.code,
    )


def _fields(view: ExportView, options: Options) -> Html:
    """A field for each option."""
    fields = []
    for each in view.options:
        chosen = next(choice for choice in each.choices if choice.value == options[each.name])
        field = Field(f"export-{each.name}", each.title, chosen.sentence)
        choices = [
            (choice.value, f"{choice.title} · {size(choice.bytes)}" if choice.bytes else choice.title)
            for choice in each.choices
        ]
        off = [choice.value for choice in each.choices if choice.unavailable_reason]
        control = select_input(
            field.name, choices, chosen.value, "option", off, data_format=view.format, data_option=each.name
        )
        fields.append(field.around(control))
    return html("{fields}", fields=fields)


def _tools(view: ExportView, options: Options) -> Html:
    """What must be installed first."""
    return html(
        "{notes}",
        notes=[
            note("acc", html("<p><b>{title}</b> {sentence}</p>", title=f"{each.title}.", sentence=each.sentence))
            for each in view.tools_to_install(options)
        ],
    )


def _table(rows: Sequence[Sequence[str]]) -> Html:
    """What was measured, as a table."""
    head, *others = rows
    return scroll_table(
        "Measured",
        [html("<th>{cell}</th>", cell=cell) for cell in head],
        [html("<tr>{cells}</tr>", cells=[html("<td>{c}</td>", c=cell) for cell in row]) for row in others],
    )


def bar(
    run: RunRecord,
    view: ExportView,
    job: Job | None,
    options: Options = NO_OPTIONS,
    installing: Job | None = None,
) -> Html:
    """The action bar: install what is missing, make the export, or download it."""
    if job and not job.ended:
        making = html(
            '<span class="row">{bar}<span>{phase} <span class="muted nowrap">· {seconds}</span></span></span>',
            bar=track(job.share, label="Exporting"),
            phase=job.title,
            seconds=duration(job.seconds),
        )
        cancel = button(
            "Cancel", "cancel-export", "quiet", format=view.format, run=run.id, aria_label="Cancel the export"
        )
        return action_bar(making, Primary("Exporting", disabled=True), back="chat", extra=cancel)
    if installing and not installing.ended:
        cancel = button("Cancel", "cancel-install", "quiet")
        words = installing.title or "Waiting for its turn"
        return action_bar(words, Primary("Installing", disabled=True), back="chat", extra=cancel)
    unavailable = bool(view.unavailable_reason)
    missing = [] if unavailable else view.tools_to_install(options)
    exported = view.chosen(view.done.options) if view.done else {}
    other = view.done is not None and not unavailable and view.chosen(options) != exported
    if view.done and not other:
        press, words = {"data_download": view.format}, Verbatim(f"{filename(run.name)}-{view.format}.zip")
        label = html("{i}Download {s}", i=icon("download"), s=size(view.done.bytes))
    elif missing:
        press, words = {"data_act": "install", "data_format": view.format}, missing[0].sentence
        label = html("Install the {t}", t=missing[0].title)
    else:
        press = {"data_act": "export", "data_format": view.format}
        about_size = size(view.bytes_with(options))
        words = view.unavailable_reason or f"About {about_size}. The export is loaded again to test it."
        name = view.title.lower() if view.title[1:].islower() and view.title not in PROPER_NAMES else view.title
        label = html("Export again") if other else html("Export {t}", t=name)
    primary = html(
        '<button type="button" class="btn primary" data-primary{attrs}>{label}</button>',
        attrs=attrs(**press, data_run=run.id, disabled=unavailable and not view.done),
        label=label,
    )
    return action_bar(words, primary, back="chat")
