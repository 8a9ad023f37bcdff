"""5 Evaluate: base and fine-tuned model on held-out rows, the verdict first."""

from dataclasses import dataclass

import gradio as gr

from studio.schema.report import Report
from studio.schema.runs import RunRecord
from studio.ui.components.basic import Primary, action_bar, alert, button, heading, segments, track
from studio.ui.components.region import region
from studio.ui.components.scorecard import SENTENCES, matrix, per_label, row_table, scorecard
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.markup import Html, html
from studio.ui.numbers import about
from studio.ui.selected import mark_done, selected, target_run
from studio.ui.session import Visit
from studio.ui.shell import PageShell, Updates
from studio.ui.static import content


@dataclass(frozen=True)
class Components:
    """The parts of the tab."""

    body: gr.HTML
    actions: gr.HTML


def build() -> Components:
    """Make the tab's components."""
    return Components(body=region("evaluate-body"), actions=region("evaluate-actions", "actions-slot"))


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""

    def show(visit: Visit) -> Updates:
        run = selected(visit)
        if run is None or not run.has_result:
            return {
                c.body: not_yet(run),
                c.actions: action_bar("", Primary("Go to step 4", goto="train"), back="train"),
            }
        job = JOBS.look(_key(visit, run))
        if job and not job.ended:
            return {
                c.body: at_work(run, job),
                c.actions: action_bar("", Primary("Next: chat", goto="chat"), back="train"),
            }
        report = visit.studio.evaluation.report(run.id)
        problem = alert(job.error) if job and job.error else Html("")
        if report is None:
            return {c.body: html("{p}{i}", p=problem, i=invitation(run)), c.actions: _bar(run, again=False)}
        mark_done(visit, "train", "evaluate")
        return {
            c.body: html("{p}{r}", p=problem, r=report_body(run, report, _which(visit))),
            c.actions: _bar(run, again=True),
        }

    def evaluate(visit: Visit) -> Updates:
        run, studio = visit.studio.runs.get(target_run(visit)), visit.studio
        JOBS.begin(_key(visit, run), Job(), lambda job: studio.evaluation.evaluate(run.id, progress=job.advance))
        return show(visit)

    def which(visit: Visit) -> Updates:
        visit.remember(judged=visit.text("value", 20))
        return show(visit)

    shell.page(show)
    shell.actions(c.body, {"look": show, "which": which})
    shell.actions(c.actions, {"evaluate": evaluate})


def _key(visit: Visit, run: RunRecord) -> Key:
    return visit.workspace, f"{run.id} evaluate"


def _which(visit: Visit) -> str:
    chosen = visit.choices.extra.get("judged")
    return chosen if chosen in ("best", "changed") else "worst"


def _bar(run: RunRecord, again: bool) -> Html:
    if not again:
        return action_bar(
            "Takes about as long as reading the rows twice.",
            Primary("Evaluate", act="evaluate", run=run.id),
            back="train",
        )
    more = button("Evaluate again", "evaluate", run=run.id)
    return action_bar("Next, talk to it beside the base.", Primary("Next: chat", goto="chat"), back="train", extra=more)


def not_yet(run: RunRecord | None) -> Html:
    """The page without a fine-tuned model."""
    why = f"{run.name} has no tuned model yet." if run else "There is no run yet."
    return heading("Nothing to evaluate yet", f"{why} Evaluate opens when a run has ended.")


def invitation(run: RunRecord) -> Html:
    """What Evaluate does."""
    return html(
        '{head}<section class="panel stack tight"><p>The base and the tuned model get the same rows, which training '
        "never "
        "learned from. You get a verdict, the scores of both with an interval, and the rows that tell "
        "most.</p></section>",
        head=heading(f"Is {run.name} better than the base?", "Measured on rows kept apart for this."),
    )


def at_work(run: RunRecord, job: Job) -> Html:
    """Progress of the evaluation. The page polls it."""
    left = f" · {about(job.seconds_left)} left" if job.seconds_left else ""
    rows = f"{job.done:,} of {job.total:,}" if job.total else "loading both models"
    return html(
        '{head}<section class="panel stack mid" aria-label="Progress"><div class="row"><b>Evaluating</b>'
        '<span class="right nowrap"><b>{share:.0f} %</b> <span class="muted">· '
        "{rows}{left}</span></span></div>{track}</section>"
        '<button type="button" hidden data-act="look" data-quiet data-again="1000">Look again</button>',
        head=heading(f"Evaluating {run.name}", "Base and tuned on the same rows. You can leave this page."),
        share=100 * job.share,
        rows=rows,
        left=left,
        track=track(job.share, label="Evaluating"),
    )


def report_body(run: RunRecord, report: Report, which: str) -> Html:
    """The report: the verdict first, then its details."""
    save = html(
        '<button type="button" class="btn s" data-save="studio/run/{run}/report.html" '
        'data-name="{name}-report.html">Save report'
        '</button><button type="button" class="btn s" data-save="studio/run/{run}/report.json" '
        'data-name="{name}-report.json">'
        "JSON</button>",
        run=run.id,
        name=run.name,
    )
    ways = [("worst", "Worst", ""), ("best", "Best", ""), ("changed", "Most changed", "")]
    chosen = segments("judged", "which", ways, which, "Which rows")
    rows = {"best": report.best_rows, "changed": report.changed_rows}.get(which, report.worst_rows)
    return html(
        '<div class="stack">{head}{top}<section class="panel flush" aria-labelledby="rows-title"><div class="bar '
        'wrapbar">'
        '<h2 id="rows-title" class="pad-r">Rows</h2>{chosen}</div>{rows}</section>{labels}{foot}</div>',
        head=verdict(report, save),
        top=_top(run, report),
        chosen=chosen,
        rows=row_table(rows, report.confusion is not None),
        labels=per_label(report.per_label) if report.per_label else "",
        foot=foot(run, report),
    )


def _top(run: RunRecord, report: Report) -> Html:
    if not report.confusion:
        return scorecard(report, run.name)
    return html(
        '<div class="cols ev">{score}{matrix}</div>', score=scorecard(report, run.name), matrix=matrix(report.confusion)
    )


def verdict(report: Report, side: Html | str = "") -> Html:
    """The first sentence of the verdict as the heading, the rest under it."""
    first, _, rest = report.verdict.partition(". ")
    return heading(f"{first.rstrip('.')}.", " ".join(filter(None, (rest, report.note))), side)


def foot(run: RunRecord, report: Report) -> Html:
    """The rows, the run, and how the intervals were computed."""
    step = f", step {run.best_step}" if run.best_step is not None else ""
    return html(
        '<p class="small">{n:,} {which} · {model}, {method}{step} · 95 % intervals by drawing the rows again</p>',
        which=SENTENCES.get(report.split, "rows"),
        model=run.model.rsplit("/", 1)[-1],
        method=run.method,
        step=step,
        n=report.rows,
    )


def report_page(run: RunRecord, report: Report) -> str:
    """The report as a standalone page that can be saved and sent. It needs no server."""
    style = Html(content("css").decode())
    body = html(
        '<main class="column"><div class="stack">{head}{top}<section class="panel flush"><div class="bar"><h2>Worst '
        "rows</h2></div>{worst}</section>"
        '<section class="panel flush"><div class="bar"><h2>Best '
        "rows</h2></div>{best}</section>{labels}{foot}</div></main>",
        head=verdict(report),
        top=_top(run, report),
        worst=row_table(report.worst_rows, report.confusion is not None),
        best=row_table(report.best_rows, report.confusion is not None),
        labels=per_label(report.per_label) if report.per_label else "",
        foot=foot(run, report),
    )
    return html(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<title>{name} · report</title><style>{style}</style></head><body class="report">{body}</body></html>',
        name=run.name,
        style=style,
        body=body,
    )
