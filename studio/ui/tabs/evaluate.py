"""The Evaluate tab: the fine-tuned model against the base model or baselines on the same rows, the verdict first."""

from studio.metrics.repetition import repeats
from studio.schema.numbers import about
from studio.schema.report import JudgedRow, Report, rows_of_split
from studio.schema.runs import RunRecord
from studio.tasks import task_named
from studio.training.methods import METHODS
from studio.ui.components import next_step
from studio.ui.components.basic import Primary, action_bar, alert, button, heading, note, segments, track
from studio.ui.components.layout import look_again
from studio.ui.components.markup import Html, Verbatim, html
from studio.ui.components.model_title import model_title
from studio.ui.components.scorecard import (
    about_rows,
    matrix,
    per_label,
    row_source,
    row_table,
    scorecard,
    without_base,
)
from studio.ui.http.static import content
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.selected import mark_done, open_rows, selected, target_run, until_result, without_result
from studio.ui.shell import PageShell
from studio.ui.tabs import cross_validation, prediction
from studio.ui.tabs.base import Components
from studio.ui.tabs.chat import chat_label
from studio.ui.visitors.session import Visit

LEAST_REPEATING = 2
"""Minimum number of example replies that repeat themselves for a note."""
FEW_LABELS = 4
"""A matrix of so many labels has room beside the scorecard."""
MANY_BASELINES = 3
"""A scorecard with so many baselines needs the whole width."""
VIEWER_ACTIONS = frozenset({"look", next_step.ROWS, "which"})
"""Actions that change nothing but what the viewer of a team sees."""


def wire(c: Components, shell: PageShell) -> None:
    """Wire the tab's handlers."""
    shell.page(c.showing(drawn))
    above = {"which": choose_rows, **prediction.acts(shell.shell.files), **cross_validation.ACTS}
    below = {"evaluate": evaluate, "repeat": next_step.repeat, **cross_validation.ACTS}
    rows = {next_step.ROWS: open_rows}
    shell.actions(c.body, {"look": shell.drawn, **rows, **shell.then_drawn(above, when_refused=False)})
    shell.actions(c.actions, {**rows, **shell.then_drawn(below, when_refused=False)})


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
        return head + until_result(run), action_bar(
            "First train a model to the end.", Primary("Open Train", goto="train"), back="train"
        )
    classifies = visit.studio.chat.is_classifier(run.id)
    chat = Primary(chat_label(classifies), goto="chat")
    job = visit.job(_key(visit, run))
    if job and not job.ended:
        return at_work(run, job), action_bar("You can try the model meanwhile.", chat, back="train")
    report = visit.studio.evaluation.report(run.id)
    problem = alert(job.error) if job and job.error else Html("")
    step, facts = next_step.step_of(visit, run, report)
    primary = next_step.primary_of(step, facts, run, chat_label(classifies), here="evaluate")
    if report is None:
        many = prediction.panels(visit, run)
        if facts.rows_deleted:
            problem += note("warn", "The dataset of this run was deleted, so it can't be evaluated.")
        return problem + invitation(run) + many, action_bar(step.reason, primary, back="train")
    mark_done(visit, "train", "evaluate")
    folds = cross_validation.panel(visit, run, report, step.kind == "cross-validate")
    which, model = str(visit.choices.extra.get("judged", "")), model_title(visit.studio, run.model)
    report_view = report_body(run, report, which, model, has_rows=not facts.rows_deleted)
    both = [report_view, folds] if cross_validation.is_offer(visit, run, report) else [folds, report_view]
    body = html('<div class="stack">{both}</div>{many}', both=both, many=prediction.panels(visit, run))
    extra: list[Html] = [button("Evaluate again", "evaluate", disabled=facts.rows_deleted, run=run.id)]
    if step.kind != "chat":
        extra.append(button(chat_label(classifies), goto="chat"))
    return problem + body, action_bar(step.reason, primary, back="train", extra=extra)


def _key(visit: Visit, run: RunRecord) -> Key:
    return visit.workspace, f"{run.id} evaluate"


def invitation(run: RunRecord) -> Html:
    """What Evaluate does."""
    which = "Measured on the test rows, or on the validation rows where there are no test rows."
    if task_named(run.task).has_labels:
        title = f"Is {run.name} better than simple guesses?"
        words = (
            "The fine-tuned model labels rows that training did not learn from. So do simple baselines: always the "
            "most frequent label, random guesses (chance), and the labels of similar training rows (nearest "
            "neighbors). You get a verdict, the scores with 95% confidence intervals, and example rows."
        )
    else:
        title = f"Is {run.name} better than the base model?"
        words = (
            "The base model and the fine-tuned model get the same rows. Training did not learn from these rows. You "
            "get a verdict, the scores of both models with 95% confidence intervals, and example rows."
        )
    return html(
        '{head}<section class="panel stack tight"><p>{words}</p></section>', head=heading(title, which), words=words
    )


def at_work(run: RunRecord, job: Job) -> Html:
    """Progress of the evaluation. The page polls it."""
    left = f" · {about(job.seconds_left)} left" if job.seconds_left else ""
    rows = f"{job.done:,} of {job.total:,}" if job.total else "loading both models"
    return html(
        '{head}<section class="panel stack mid" aria-label="Progress"><div class="row"><b>Evaluating</b><span '
        'class="right nowrap"><b>{share:.0f}%</b> <span class="muted">· {rows}{left}</span></span></div>{track}'
        "</section>{again}",
        head=heading(f"Evaluating {run.name}", "All answer the same rows. You can leave this page."),
        share=100 * job.share,
        rows=rows,
        left=left,
        track=track(job.share, label="Evaluating"),
        again=look_again(1000),
    )


def report_body(run: RunRecord, report: Report, which: str, model: str = "", *, has_rows: bool = True) -> Html:
    """The report: the verdict first, then its details.

    Args:
        which: the rows shown, `best`, `changed` or the worst.
        model: the title of the base model, in place of its name.
        has_rows: the rows of the run still exist, so that buttons can lead there.
    """
    save = html(
        '<button type="button" class="btn s" data-save="studio/run/{run}/report.html" data-name="{name}-report.html">'
        'Save report</button><button type="button" class="btn s" data-save="studio/run/{run}/report.json" '
        'data-name="{name}-report.json">JSON</button>',
        run=run.id,
        name=run.name,
    )
    guessed = without_base(report)
    kinds = {"worst": report.worst_rows, "best": report.best_rows, "changed": report.changed_rows}
    mixed = mixed_up(report, which)
    which = which if which in kinds else "" if mixed else "worst"
    changed = "Unlike the baseline" if guessed else "Most changed"
    none_wrong: Html | str = ""
    if (
        which == "worst"
        and report.confusion is not None
        and all(row.tuned == row.expected for row in report.worst_rows)
    ):
        none_wrong = html('<span class="muted">All are right. The least certain come first.</span>')
    ways = [("worst", "Worst", ""), ("best", "Best", ""), ("changed", changed, "")]
    rows = html(
        '<section class="panel flush" aria-labelledby="rows-title"><div class="bar wrapbar"><h2 id="rows-title" '
        'class="pad-r">Rows</h2>{chosen}{mixed}</div>{rows}</section>',
        chosen=segments("judged", "which", ways, which, "Which rows"),
        mixed=html('<span class="muted">{words}</span>', words=_mixed_words(mixed[0])) if mixed else none_wrong,
        rows=row_table(
            mixed or kinds[which],
            report.confusion is not None,
            row_source(report),
            report.confusion is not None and which in ("worst", "best"),
        ),
    )
    below = _below(report, rows, foot(run, report, model))
    return _report(run, report, cautions(report, run.id, has_rows), below, save)


def _below(report: Report, rows: Html, foot: Html) -> Html:
    """What is below the scores."""
    return html("{r}{l}{f}", r=rows, l=per_label(report.per_label) if report.per_label else "", f=foot)


def mixed_up(report: Report, which: str) -> tuple[JudgedRow, ...]:
    """The rows of a cell of the confusion matrix, which `which` names by the numbers of its two labels: mix-1-2."""
    name, *places = which.split("-")
    labels = list(report.confusion or {})
    if name != "mix" or len(places) != 2 or not all(each.isdecimal() and int(each) < len(labels) for each in places):
        return ()
    pair = tuple(labels[int(each)] for each in places)
    return tuple(row for row in report.confused_rows if (row.expected, row.tuned) == pair)


def _mixed_words(row: JudgedRow) -> str:
    return f"“{row.expected}” taken for “{row.tuned}”"


def _report(run: RunRecord, report: Report, cautions: Html, below: Html, side: Html | str = "") -> Html:
    """The report. `side`: buttons beside the verdict. A saved report has none, and no others either."""
    score = scorecard(report, run.name)
    if report.confusion:
        narrow = len(report.confusion) <= FEW_LABELS and len(report.baselines) < MANY_BASELINES
        wide = "" if narrow else "wide"
        score = html(
            '<div class="cols ev {wide}">{score}{matrix}</div>',
            wide=wide,
            score=score,
            matrix=matrix(report, bool(side)),
        )
    return html(
        '<div class="stack">{head}{cautions}{score}{below}</div>',
        head=verdict(report, side),
        cautions=cautions,
        score=score,
        below=below,
    )


def verdict(report: Report, side: Html | str = "") -> Html:
    """The first sentence of the verdict as the heading, the rest under it."""
    first, _, rest = report.verdict.partition(". ")
    old = without_base(report) and not report.baselines
    again = "This report is from an older version. Evaluate again for a comparison with baselines." if old else ""
    return heading(f"{first.rstrip('.')}.", " ".join(filter(None, (rest, report.note, again))), side)


def cautions(report: Report, run: str, has_rows: bool = True) -> Html:
    """What makes the scores better than they should be, or says more than they do.

    `run`: its id, for a button that leads there. Empty: without buttons. `has_rows`: its rows still exist.
    """
    to_rows = button("Open Data", next_step.ROWS, "s", run=run) if run and has_rows else ""
    to_chat = button("Chat with both", "", "s", goto="chat") if run else ""
    sentences = ((report.leakage, to_rows), (report.suggestions, to_rows), (_repetition(report), to_chat))
    return html("{notes}", notes=[note("warn", html("<p>{s}</p>", s=each), to) for each, to in sentences if each])


def _repetition(report: Report) -> str:
    """That the fine-tuned model's example replies repeat themselves, and the base model's do not. Else empty."""
    rows = {each.row: each for each in (*report.worst_rows, *report.best_rows, *report.changed_rows)}.values()
    proper = [each for each in rows if not repeats(each.expected)]
    total, repeating, before = len(rows), sum(repeats(r.tuned) for r in proper), sum(repeats(r.base) for r in proper)
    if repeating < LEAST_REPEATING or repeating <= before:
        return ""
    return (
        f"{repeating} of {total} example replies say the same words again and again. The loss does not show this. "
        "Train longer, or read more replies in the Chat tab first."
    )


def foot(run: RunRecord, report: Report, model: str = "") -> Html:
    """The rows, the run, and how the intervals were computed."""
    step = f", checkpoint from step {run.best_step}" if run.best_step is not None else ""
    return html(
        '<p class="small"><span>{rows}</span>. <span>{which}</span> {model}, {method}{step} · <span>95% confidence '
        "intervals (bootstrap; Wilson for scores of 0% and 100%)</span>{merged}</p>",
        merged=_merged_note(run, report),
        rows=rows_of_split(report.split, report.rows),
        which=about_rows(report),
        model=Verbatim(model or run.model.rsplit("/", 1)[-1]),
        method=Verbatim(run.method),
        step=step,
    )


def _merged_note(run: RunRecord, report: Report) -> Html:
    """Why the loss can differ from that on the Train tab, which is of the same rows."""
    method = METHODS.get(run.method)
    if report.split != "validation" or report.confusion is not None or method is None or method.result != "adapter":
        return Html("")
    return html(
        "<br><span>Evaluate, Chat and exports use the weights with the adapter merged in. Train measures the loss "
        "before merging, so it can differ slightly.</span>"
    )


def report_page(run: RunRecord, report: Report, model: str = "") -> str:
    """The report as a standalone page that can be saved and sent. It needs no server. `model`: the base's title."""
    labels = report.confusion is not None
    rows = [
        html(
            '<section class="panel flush"><div class="bar"><h2>{title}</h2></div>{rows}</section>',
            title=title,
            rows=row_table(kind, labels, row_source(report), labels),
        )
        for title, kind in (("Worst rows", report.worst_rows), ("Best rows", report.best_rows))
    ]
    if report.cross_validation is not None:
        rows.insert(0, cross_validation.result(run, report.cross_validation))
    return html(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        'initial-scale=1"><title>{name} · report</title><style>{style}</style></head><body class="report '
        'gradio-container"><main class="column html-container">{body}</main></body></html>',
        name=run.name,
        style=Html(content("css").decode()),
        body=html(
            '<p class="small"><b translate="no">{name}</b> · <span>Report</span> · {date}</p>{report}',
            name=Verbatim(run.name),
            date=(run.ended or run.created)[:10],
            report=_report(
                run, report, cautions(report, ""), _below(report, html("{rows}", rows=rows), foot(run, report, model))
            ),
        ),
    )
