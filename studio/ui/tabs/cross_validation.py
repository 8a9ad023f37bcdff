"""Cross-validation on the Evaluate tab: the offer, the progress of the folds, and the report over all rows."""

from studio.schema.cross_validation import FOLDS, FoldsView
from studio.schema.numbers import about
from studio.schema.report import FEW_TEST_ROWS, FoldScore, Report, rows_of_split
from studio.schema.runs import RunRecord
from studio.ui.components.basic import alert, button, state, track
from studio.ui.components.layout import look_again, poll, scroll_table, stack
from studio.ui.components.markup import Html, Verbatim, html
from studio.ui.components.next_step import folds_label
from studio.ui.components.scorecard import as_share, scorecard, value
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.selected import target_run
from studio.ui.visitors.session import Visit

IN_PROGRESS = ("training", "paused", "trained")
STATES = {
    "queued": ("idle", "waits"),
    "paused": ("idle", "paused"),
    "starting": ("acc", "trains"),
    "training": ("acc", "trains"),
    "stopping": ("acc", "is stopping"),
    "finished": ("ok", "trained"),
    "interrupted": ("error", "was interrupted"),
}
"""Status of a fold's run → kind of mark and words."""


def start(visit: Visit) -> None:
    """Start a cross-validation, or continue a paused one."""
    visit.studio.cross_validation.start(target_run(visit), FOLDS)


def pause(visit: Visit) -> None:
    """Pause the folds."""
    visit.studio.cross_validation.pause(target_run(visit))


def cancel(visit: Visit) -> None:
    """Cancel the cross-validation."""
    run = target_run(visit)
    JOBS.cancel(_key(visit, run))
    visit.studio.cross_validation.stop(run)


def evaluate(visit: Visit) -> None:
    """Evaluate the models of the folds in the background."""
    _begin(visit, target_run(visit))


ACTS = {"folds": start, "folds-pause": pause, "folds-cancel": cancel, "folds-evaluate": evaluate}


def is_offer(visit: Visit, run: RunRecord, report: Report) -> bool:
    """Whether there is no cross-validation in progress and no result of one, which would come first on the tab."""
    view = visit.studio.cross_validation.view(run.id)
    return report.cross_validation is None and not (view and view.status in IN_PROGRESS)


def panel(visit: Visit, run: RunRecord, report: Report, is_next: bool) -> Html:
    """The panel of cross-validation. Empty where the test set is large enough. `is_next`: it is the next step, whose
    button is in the action bar."""
    view = visit.studio.cross_validation.view(run.id)
    if view and view.status in IN_PROGRESS:
        return _in_progress(visit, run, view)
    if report.cross_validation is not None:
        again = button("Cross-validate again", "folds", "s", run=run.id)
        below = html('{ended}<div class="row">{b}</div>', ended=_ended(view), b=again)
        return result(run, report.cross_validation, below)
    if report.rows >= FEW_TEST_ROWS and view is None:
        return Html("")
    return _offer(visit, run, report, view, is_next)


def _offer(visit: Visit, run: RunRecord, report: Report, view: FoldsView | None, is_next: bool) -> Html:
    studio = visit.studio
    problem = studio.cross_validation.problem(run.id)
    if problem is not None:
        return _panel(html('<p class="muted">{what} {hint}</p>', what=problem.what, hint=problem.hint or ""))
    count = studio.cross_validation.rows(run.id)
    few = rows_of_split(report.split, report.rows)
    words = (
        f"{few} are few for a verdict. Cross-validation trains these settings {FOLDS} times, each time without "
        f"another fifth of the rows. So each of the {count:,} rows is tested once."
    )
    start_ = "" if is_next else button(folds_label(studio.cross_validation.seconds(run.id)), "folds", "s", run=run.id)
    return _panel(
        html(
            '{ended}<p>{words}</p><div class="row">{start}</div>',
            ended=_ended(view),
            words=words,
            start=start_,
        )
    )


def _ended(view: FoldsView | None) -> Html | str:
    """Why the last cross-validation has no result."""
    return html('<p class="wrong">{w}</p>', w=view.sentence) if view and view.status in ("failed", "stopped") else ""


def _in_progress(visit: Visit, run: RunRecord, view: FoldsView) -> Html:
    """The folds that train, or the evaluation of their models, which begins by itself."""
    cancel_ = button(
        "Cancel",
        "folds-cancel",
        "s",
        run=run.id,
        aria_label="Cancel cross-validation",
        confirm="Cancel the cross-validation? The models of its folds are deleted.",
    )
    if view.status == "trained":
        return _evaluating(visit, run, view, cancel_)
    left = about(view.seconds_left) if view.seconds_left else ""
    words = f"{view.sentence} About {left} of training left." if left else view.sentence
    paused = view.status == "paused"
    turn = button("Continue", "folds", "s", run=run.id) if paused else button("Pause", "folds-pause", "s", run=run.id)
    return _panel(
        html(
            '{track}<p role="status">{words}</p>{folds}<div class="row">{turn}{cancel}</div>{again}',
            track=track(view.share, label="Folds"),
            words=words,
            folds=_folds(view),
            turn=turn,
            cancel=cancel_,
            again="" if paused else look_again(2000),
        )
    )


def _evaluating(visit: Visit, run: RunRecord, view: FoldsView, cancel_: Html) -> Html:
    key = _key(visit, run.id)
    job = visit.job(key)
    if job and job.error:
        again = button("Try again", "folds-evaluate", "s", run=run.id)
        body = html(
            '{error}<div class="row">{again}{cancel}</div>', error=alert(job.error), again=again, cancel=cancel_
        )
        return _panel(body)
    share = job.share if job else 0.0
    return _panel(
        html(
            '{track}<p role="status">{words}</p>{again}',
            track=track(share, label="Evaluating the folds"),
            words=f"{view.sentence} Evaluating: {share:.0%}.",
            again=look_again(1000) if job else poll("folds-evaluate", 100, repeat=False),
        )
    )


def _folds(view: FoldsView) -> Html:
    rows = []
    for each in view.runs:
        kind, words = STATES.get(each.status, ("idle", each.status))
        rows.append(html('<li><span class="grow">{n}</span>{s}</li>', n=Verbatim(each.name), s=state(kind, words)))
    return html('<ul class="list opts folds">{rows}</ul>', rows=rows)


def result(run: RunRecord, report: Report, below: Html | str = "") -> Html:
    """The verdict over all rows, the scores, and those of the single folds."""
    return html(
        '<section class="stack" aria-labelledby="folds"><h2 id="folds">Cross-validation</h2><p>{verdict}</p>'
        '<p class="muted">{note}</p>{score}{folds}{below}</section>',
        verdict=report.verdict,
        note=report.note,
        score=scorecard(report, run.name, "folds-score"),
        folds=fold_table(report),
        below=below,
    )


def fold_table(report: Report) -> Html:
    """The scores of each fold."""
    names = [name for name in report.metrics if all(name in each.metrics for each in report.fold_scores)]
    heads = html(
        '<th class="num">Fold</th><th class="num">Rows</th>{metrics}',
        metrics=[html('<th class="num">{t}</th>', t=report.metrics[name].title or name) for name in names],
    )
    rows = [_fold_row(number, each, names, report) for number, each in enumerate(report.fold_scores, start=1)]
    return html(
        '<section class="panel flush" aria-label="Scores of each fold">{t}</section>',
        t=scroll_table("Folds", heads, rows, "score"),
    )


def _fold_row(number: int, fold: FoldScore, names: list[str], report: Report) -> Html:
    cells = [
        html('<td class="num">{v}</td>', v=value(fold.metrics[name], as_share(report.metrics[name]))) for name in names
    ]
    return html(
        '<tr><th scope="row" class="num">{n}</th><td class="num">{rows}</td>{cells}</tr>',
        n=number,
        rows=fold.rows,
        cells=cells,
    )


def _panel(body: Html) -> Html:
    return stack("Cross-validation", "folds", body, "mid")


def _key(visit: Visit, run: str) -> Key:
    return visit.workspace, f"{run} folds"


def _begin(visit: Visit, run: str) -> None:
    studio = visit.studio
    JOBS.begin(_key(visit, run), Job(), lambda job: studio.cross_validation.evaluate(run, progress=job.advance))
