"""More from few rows: advice on the number of rows, a learning curve, likely wrong labels, and augmentation.

Part of the Data tab.
"""

from collections.abc import Callable
from typing import Any

from studio.schema.augmentation import Proposals
from studio.schema.dataset import CheckReport
from studio.schema.errors import StudioError
from studio.schema.label_quality import LearningCurve
from studio.ui.components.basic import alert, button, note, segments, text_input, track
from studio.ui.components.curve import curve_chart
from studio.ui.components.synthetic_rows import review_panel
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.markup import Html, html
from studio.ui.numbers import rows as rows_words
from studio.ui.session import Visit

SAMPLED = 100_000
"""Maximum number of rows that are compared; of larger datasets a sample."""
USUAL = 20
"""Default number of rows to make."""


def judge(visit: Visit) -> None:
    """Look for likely wrong labels with a small classifier."""
    _begin(visit, "judge", visit.studio.label_quality.judge, task=visit.choices.task)


def draw_curve(visit: Visit) -> None:
    """Compute the learning curve."""
    _begin(visit, "curve", visit.studio.label_quality.curve, task=visit.choices.task)


def check_all_rows(visit: Visit) -> None:
    """Check all rows instead of a sample, in a subprocess."""
    chosen, studio = visit.choices, visit.studio

    def do(job: Job) -> None:
        def tell(rows: int, size: int) -> None:
            job.title = "Looking at every row"
            job.read(rows, size)

        studio.jobs.check(chosen.dataset, chosen.task, tell, job.cancelled, whole=True)

    JOBS.take(_key(visit, "whole"))
    JOBS.begin(_key(visit, "whole"), Job("Looking at every row", total=studio.datasets.get(chosen.dataset).rows), do)


def every_row(visit: Visit) -> bool:
    """Whether all rows were checked, on request."""
    return visit.studio.checks.is_cached(visit.choices.dataset, visit.choices.task, whole=True)


def _begin(visit: Visit, what: str, work: Callable[..., Any], **options: Any) -> None:
    """Start a job in the background, so that the page stays responsive."""
    dataset = visit.choices.dataset

    def do(job: Job) -> None:
        def progress(done: int, total: int, words: str) -> None:
            job.done, job.total, job.title = done, total, words

        work(dataset, progress=progress, **options)

    JOBS.take(_key(visit, what))
    JOBS.begin(_key(visit, what), Job("Getting ready"), do)


def _key(visit: Visit, what: str) -> Key:
    return visit.workspace, f"{what} {visit.choices.dataset}"


def _running_job(visit: Visit, what: str) -> Job | None:
    """A job that runs or has failed. A successful one is removed."""
    job = JOBS.get(_key(visit, what))
    if job is not None and job.ended and job.error is None:
        JOBS.take(_key(visit, what))
        return None
    return job


def look_again(visit: Visit) -> None:
    """Draw the progress."""


def pick_way(visit: Visit) -> None:
    """Choose how rows are made."""
    visit.remember(way=visit.text("value"))


def pick_count(visit: Visit) -> None:
    """Choose the number of rows to make."""
    visit.remember(make=max(1, visit.whole("value", USUAL)))


def make(visit: Visit) -> None:
    """Make rows, which wait for a review."""
    extra = visit.choices.extra
    _begin(
        visit,
        "make",
        visit.studio.augmentation.propose,
        way=extra.get("way", "spelling"),
        count=int(extra.get("make", USUAL)),
        model=visit.choices.model,
    )
    visit.remember(made_page=1)


def keep(visit: Visit) -> None:
    """Accept a made row, or all without a verdict."""
    _decide(visit, "kept")


def refuse(visit: Visit) -> None:
    """Refuse a made row, or all without a verdict."""
    _decide(visit, "refused")


def _decide(visit: Visit, verdict: Any) -> None:
    number = visit.whole("number")
    visit.studio.augmentation.decide(visit.choices.dataset, verdict, [number] if number else None)


def turn(visit: Visit) -> None:
    """Go to another page of made rows."""
    visit.remember(made_page=max(1, visit.whole("value", 1)))


def forget(visit: Visit) -> None:
    """Delete the made rows."""
    visit.studio.augmentation.forget(visit.choices.dataset)


def use(visit: Visit) -> None:
    """Make a new version with the accepted rows."""
    visit.studio.augmentation.use(visit.choices.dataset)
    visit.choose(view="rows", page=1, only="")


ACTS: dict[str, Callable[[Visit], None]] = {
    "whole": check_all_rows,
    "judge": judge,
    "curve": draw_curve,
    "look": look_again,
    "way": pick_way,
    "make-count": pick_count,
    "make": make,
    "keep-made": keep,
    "refuse-made": refuse,
    "made-page": turn,
    "forget-made": forget,
    "use-made": use,
}


def extra_checks(visit: Visit, report: CheckReport | None) -> Html:
    """Checks that run on request, under the report of the data checks."""
    if report is None:
        return Html("")
    return html("{sample}{labels}", sample=_sample(visit, report), labels=_labels(visit, report))


def _sample(visit: Visit, report: CheckReport) -> Html:
    """A button that checks all rows, where a sample was checked."""
    if report.rows <= SAMPLED or every_row(visit):
        return Html("")
    job = _running_job(visit, "whole")
    body = (
        _progress(job, "whole", "Look at every row")
        if job
        else html(
            '<p class="muted small">Near copies and languages were looked for in a sample of {n:,} rows or so.</p>'
            '<div class="row">{b}</div>',
            n=SAMPLED,
            b=button("Look at every row", "whole", "s"),
        )
    )
    return html('<section class="panel stack tight" aria-label="A sample was looked at">{body}</section>', body=body)


def _labels(visit: Visit, report: CheckReport) -> Html:
    if not report.labels:
        return Html("")
    job, dataset = _running_job(visit, "judge"), visit.choices.dataset
    has_suspects = any(each.kind == "label-error" for each in report.problems)
    if job:
        body = _progress(job, "judge", "Look for wrong labels")
    elif visit.studio.label_quality.was_judged(dataset):
        body = html(
            '<p class="muted small">{words}</p>',
            words="The labels were judged: see above."
            if has_suspects
            else "The labels were judged: none is likely wrong.",
        )
    else:
        body = html(
            '<p class="muted small">A small classifier can judge each label, having learned from the other rows.</p>'
            '<div class="row">{b}</div>',
            b=button("Look for wrong labels", "judge", "s"),
        )
    return html(
        '<section class="panel stack tight" aria-labelledby="closer"><h2 id="closer">Labels</h2>{body}</section>',
        body=body,
    )


def _progress(job: Job, act: str, label: str) -> Html:
    """The progress of a job, or its error."""
    if job.error:
        return html('{alert}<div class="row">{b}</div>', alert=alert(job.error), b=button(label, act, "s"))
    words, share = job.title, job.share
    return html(
        '<p class="muted small" role="status">{words} …</p>{track}<i hidden data-poll="600" data-repeat '
        'data-act="look"></i>',
        words=words,
        track=track(share, "", f"{words}: {100 * share:.0f} percent"),
    )


def drawn(visit: Visit) -> Html:
    """The view."""
    chosen = visit.choices
    try:
        allows = visit.studio.checks.size_advice(chosen.dataset, chosen.task)
    except StudioError as error:
        return alert(error)
    return html(
        '<div class="cols main-side w400"><div class="stack">{made}</div><div class="stack">{allows}{curve}</div>'
        "</div>",
        made=_made_rows(visit),
        allows=html(
            '<section class="panel stack tight" aria-labelledby="allows"><h2 id="allows">What your rows allow</h2>'
            "<p>{s}</p></section>",
            s=allows,
        ),
        curve=_curve(visit),
    )


def _curve(visit: Visit) -> Html:
    if not _has_labels(visit):
        return Html("")
    job, known = _running_job(visit, "curve"), visit.studio.label_quality.known_curve(visit.choices.dataset)
    body: Any
    if job:
        body = _progress(job, "curve", "Draw the learning curve")
    elif known:
        body = _drawn_curve(known)
    else:
        body = html(
            '<p class="muted">Trains a small classifier on ever more of your rows, and measures each on rows kept '
            'apart. Takes seconds.</p><div class="row">{b}</div>',
            b=button("Draw the learning curve", "curve", "s"),
        )
    return html(
        '<section class="panel stack mid" aria-labelledby="curve"><h2 id="curve">Would more rows help?</h2>{body}'
        "</section>",
        body=body,
    )


def _drawn_curve(curve: LearningCurve) -> Html:
    return html(
        '{chart}<p>{s}</p><div class="row">{b}</div>',
        chart=curve_chart(curve),
        s=curve.sentence,
        b=button("Draw it again", "curve", "s quiet"),
    )


def _has_labels(visit: Visit) -> bool:
    known = next((each for each in visit.studio.catalog.tasks() if each.name == visit.choices.task), None)
    return known is not None and any(role.name == "label" for role in known.roles)


def _made_rows(visit: Visit) -> Html:
    job = _running_job(visit, "make")
    proposals = visit.studio.augmentation.proposals(visit.choices.dataset)
    if job and not job.ended:
        body = html('<div class="body stack tight">{w}</div>', w=_progress(job, "make", "Make rows"))
    elif proposals.rows:
        return review_panel(proposals, int(visit.choices.extra.get("made_page", 1)))
    else:
        refused = alert(job.error) if job and job.error else ""
        body = html('<div class="body stack mid">{r}{f}</div>', r=refused, f=_form(visit, proposals))
    return html(
        '<section class="panel flush" aria-labelledby="made"><div class="bar"><h2 id="made">Rows made from yours</h2>'
        "</div>{body}</section>",
        body=body,
    )


def _form(visit: Visit, proposals: Proposals) -> Html:
    extra, ways = visit.choices.extra, visit.studio.augmentation.ways(visit.choices.dataset, visit.choices.model)
    chosen = next((way for way in ways if way.name == extra.get("way")), ways[0])
    chosen = ways[0] if chosen.unavailable_reason else chosen
    reasons = [
        html('<p class="muted small">{t}: {w}</p>', t=way.title, w=way.unavailable_reason)
        for way in ways
        if way.unavailable_reason
    ]
    none = (
        note("warn", f"For {rows_words(proposals.skipped)} nothing honest could be made.") if proposals.skipped else ""
    )
    return html(
        "{none}<p>Made rows are marked as made, wait until you have looked at them, and never stand in validation or "
        'test. What is expected (the reply, the label) stays as it is.</p>{ways}<p class="muted">{sentence}</p>'
        '{reasons}<div class="row gap"><label for="f-make">Rows to make</label>{count}{make}</div>',
        none=none,
        ways=segments(
            "way", "way", [(w.name, w.title, w.unavailable_reason) for w in ways], chosen.name, "Way to make rows"
        ),
        sentence=chosen.sentence,
        reasons=reasons,
        count=text_input(
            "make", int(extra.get("make", USUAL)), "make-count", inputmode="numeric", size=5, class_="rowno"
        ),
        make=button("Make rows", "make", "primary"),
    )
