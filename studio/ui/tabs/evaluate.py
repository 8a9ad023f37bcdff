"""The Evaluate tab: base and fine-tuned model on held-out rows, the verdict first."""

from studio.schema.numbers import about
from studio.schema.report import Report
from studio.schema.runs import RunRecord
from studio.ui.components.basic import Primary, action_bar, alert, button, heading, segments, track
from studio.ui.components.layout import look_again
from studio.ui.components.scorecard import SENTENCES, matrix, per_label, row_table, scorecard
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.markup import Html, Verbatim, html
from studio.ui.selected import mark_done, selected, target_run, without_result
from studio.ui.session import Visit
from studio.ui.shell import PageShell
from studio.ui.static import content
from studio.ui.tabs.base import Components, act_then_show


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""
    show = c.showing(drawn)
    shell.page(show)
    shell.actions(c.body, {"look": show, "which": act_then_show(choose_rows, show)})
    shell.actions(c.actions, {"evaluate": act_then_show(evaluate, show)})


def evaluate(visit: Visit) -> None:
    """Evaluate the run in the background."""
    run, studio = visit.studio.runs.get(target_run(visit)), visit.studio
    JOBS.begin(_key(visit, run), Job(), lambda job: studio.evaluation.evaluate(run.id, progress=job.advance))


def choose_rows(visit: Visit) -> None:
    """Choose which rows are shown."""
    visit.remember(judged=visit.text("value", 20))


def drawn(visit: Visit) -> tuple[Html, Html]:
    """Body and action bar."""
    run = selected(visit)
    if run is None or not run.has_result:
        head = heading("Nothing to evaluate yet", f"{without_result(run)} Evaluate opens when a run has ended.")
        return head, action_bar("", Primary("Open Train", goto="train"), back="train")
    chat = Primary("Chat with both", goto="chat")
    job = JOBS.look(_key(visit, run))
    if job and not job.ended:
        return at_work(run, job), action_bar("", chat, back="train")
    report = visit.studio.evaluation.report(run.id)
    problem = alert(job.error) if job and job.error else Html("")
    if report is None:
        start = Primary("Evaluate", act="evaluate", run=run.id)
        return problem + invitation(run), action_bar("Both models answer each row once.", start, back="train")
    mark_done(visit, "train", "evaluate")
    body = report_body(run, report, visit.choices.extra.get("judged", ""))
    again = button("Evaluate again", "evaluate", run=run.id)
    return problem + body, action_bar("Next, chat with both models.", chat, back="train", extra=again)


def _key(visit: Visit, run: RunRecord) -> Key:
    return visit.workspace, f"{run.id} evaluate"


def invitation(run: RunRecord) -> Html:
    """What Evaluate does."""
    return html(
        '{head}<section class="panel stack tight"><p>The base model and the fine-tuned model get the same rows. '
        "Training did not learn from these rows. You get a verdict, the scores of both models with 95% confidence "
        "intervals, and example rows.</p>"
        "</section>",
        head=heading(f"Is {run.name} better than the base model?", "Measured on held-out rows."),
    )


def at_work(run: RunRecord, job: Job) -> Html:
    """Progress of the evaluation. The page polls it."""
    left = f" · {about(job.seconds_left)} left" if job.seconds_left else ""
    rows = f"{job.done:,} of {job.total:,}" if job.total else "loading both models"
    return html(
        '{head}<section class="panel stack mid" aria-label="Progress"><div class="row"><b>Evaluating</b><span '
        'class="right nowrap"><b>{share:.0f}%</b> <span class="muted">· {rows}{left}</span></span></div>{track}'
        "</section>{again}",
        head=heading(f"Evaluating {run.name}", "Both models answer the same rows. You can leave this page."),
        share=100 * job.share,
        rows=rows,
        left=left,
        track=track(job.share, label="Evaluating"),
        again=look_again(1000),
    )


def report_body(run: RunRecord, report: Report, which: str) -> Html:
    """The report: the verdict first, then its details. `which`: the rows shown, `best`, `changed` or the worst."""
    save = html(
        '<button type="button" class="btn s" data-save="studio/run/{run}/report.html" data-name="{name}-report.html">'
        'Save report</button><button type="button" class="btn s" data-save="studio/run/{run}/report.json" '
        'data-name="{name}-report.json">JSON</button>',
        run=run.id,
        name=run.name,
    )
    kinds = {"worst": report.worst_rows, "best": report.best_rows, "changed": report.changed_rows}
    which = which if which in kinds else "worst"
    ways = [("worst", "Worst", ""), ("best", "Best", ""), ("changed", "Most changed", "")]
    rows = html(
        '<section class="panel flush" aria-labelledby="rows-title"><div class="bar wrapbar"><h2 id="rows-title" '
        'class="pad-r">Rows</h2>{chosen}</div>{rows}</section>',
        chosen=segments("judged", "which", ways, which, "Which rows"),
        rows=row_table(kinds[which], report.confusion is not None),
    )
    return _report(run, report, rows, save)


def _report(run: RunRecord, report: Report, rows: Html, side: Html | str = "") -> Html:
    score = scorecard(report, run.name)
    if report.confusion:
        score = html('<div class="cols ev">{score}{matrix}</div>', score=score, matrix=matrix(report.confusion))
    return html(
        '<div class="stack">{head}{score}{rows}{labels}{foot}</div>',
        head=verdict(report, side),
        score=score,
        rows=rows,
        labels=per_label(report.per_label) if report.per_label else "",
        foot=foot(run, report),
    )


def verdict(report: Report, side: Html | str = "") -> Html:
    """The first sentence of the verdict as the heading, the rest under it."""
    first, _, rest = report.verdict.partition(". ")
    return heading(f"{first.rstrip('.')}.", " ".join(filter(None, (rest, report.note))), side)


def foot(run: RunRecord, report: Report) -> Html:
    """The rows, the run, and how the intervals were computed."""
    step = f", checkpoint from step {run.best_step}" if run.best_step is not None else ""
    return html(
        '<p class="small"><span>{n:,} {which}</span> · {model}, {method}{step} · <span>95% confidence intervals '
        "(bootstrap)</span></p>",
        which=SENTENCES.get(report.split, "rows"),
        model=Verbatim(run.model.rsplit("/", 1)[-1]),
        method=Verbatim(run.method),
        step=step,
        n=report.rows,
    )


def report_page(run: RunRecord, report: Report) -> str:
    """The report as a standalone page that can be saved and sent. It needs no server."""
    rows = [
        html(
            '<section class="panel flush"><div class="bar"><h2>{title}</h2></div>{rows}</section>',
            title=title,
            rows=row_table(kind, report.confusion is not None),
        )
        for title, kind in (("Worst rows", report.worst_rows), ("Best rows", report.best_rows))
    ]
    return html(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        'initial-scale=1"><title>{name} · report</title><style>{style}</style></head><body class="report"><main '
        'class="column">{body}</main></body></html>',
        name=run.name,
        style=Html(content("css").decode()),
        body=_report(run, report, html("{rows}", rows=rows)),
    )
