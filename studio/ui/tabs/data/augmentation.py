"""Data augmentation: advice on the number of rows, a learning curve, likely wrong labels, and augmentation.

Part of the Data tab.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from studio.schema.augmentation import AugmentationRequest, Proposals, WayView
from studio.schema.dataset import CheckReport
from studio.schema.errors import StudioError
from studio.schema.numbers import rows as rows_words
from studio.ui.components.basic import alert, button, note, segments, text_input, track
from studio.ui.components.curve import curve_chart
from studio.ui.components.layout import panel, poll, stack, with_button
from studio.ui.components.markup import Html, html
from studio.ui.components.synthetic_rows import review_panel
from studio.ui.jobs import JOBS, Job, Key
from studio.ui.visitors.session import Visit

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
    job = Job("Checking all rows", total=studio.datasets.get(chosen.dataset).rows)
    JOBS.take(_key(visit, "whole"))
    JOBS.begin(
        _key(visit, "whole"),
        job,
        lambda job: studio.jobs.check(chosen.dataset, chosen.task, job.watch, whole=True),
    )


def every_row(visit: Visit) -> bool:
    """Whether all rows were checked, on request."""
    return visit.studio.checks.is_cached(visit.choices.dataset, visit.choices.task, whole=True)


def _begin(visit: Visit, what: str, work: Callable[..., Any], **options: Any) -> None:
    """Start a job in the background, so that the page stays responsive."""
    dataset = visit.choices.dataset
    JOBS.take(_key(visit, what))
    JOBS.begin(_key(visit, what), Job("Preparing"), lambda job: work(dataset, progress=job.advance, **options))


def _key(visit: Visit, what: str) -> Key:
    return visit.workspace, f"{what} {visit.choices.dataset}"


def _running_job(visit: Visit, what: str) -> Job | None:
    """A job that runs or has failed. A successful one is removed."""
    job = JOBS.get(_key(visit, what))
    if job is not None and job.ended and job.error is None:
        JOBS.take(_key(visit, what))
        return None
    return job


def pick_way(visit: Visit) -> None:
    """Choose how rows are made."""
    visit.remember(way=visit.text("value"))


def pick_count(visit: Visit) -> None:
    """Choose the number of rows to make."""
    visit.remember(make=max(1, visit.whole("value", USUAL)))


def make(visit: Visit) -> None:
    """Make synthetic rows, which wait for a review."""
    visit.settle()
    extra, propose = visit.choices.extra, visit.studio.augmentation.propose
    way = _chosen_way(visit, visit.studio.augmentation.ways(visit.choices.dataset, visit.choices.model)).name
    count = int(extra.get("make", USUAL))
    augmentation = AugmentationRequest(way=way, count=count, model=visit.choices.model or None)
    _begin(visit, "make", propose, augmentation=augmentation)
    visit.remember(made_page=1)


def _decide(visit: Visit, verdict: Any) -> None:
    """Keep or refuse a synthetic row, or all without a verdict."""
    number = visit.whole("number")
    visit.studio.augmentation.decide(visit.choices.dataset, verdict, [number] if number else None)


def turn(visit: Visit) -> None:
    """Go to another page of synthetic rows."""
    visit.remember(made_page=max(1, visit.whole("value", 1)))


def forget(visit: Visit) -> None:
    """Delete the synthetic rows."""
    visit.studio.augmentation.forget(visit.choices.dataset)


def use(visit: Visit) -> None:
    """Make a new version with the accepted rows."""
    visit.studio.augmentation.use(visit.choices.dataset)
    visit.choose(view="rows", page=1, only="")


ACTS: dict[str, Callable[[Visit], None]] = {
    "whole": check_all_rows,
    "judge": judge,
    "curve": draw_curve,
    "look": lambda visit: None,
    "way": pick_way,
    "make-count": pick_count,
    "make": make,
    "keep-made": partial(_decide, verdict="kept"),
    "refuse-made": partial(_decide, verdict="refused"),
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
    words = f"Near duplicates and languages were checked in a sample of about {SAMPLED:,} rows."
    body = _progress_or_offer(visit, "whole", "Check all rows", words)
    return html('<section class="panel stack tight" aria-label="Only a sample was checked">{body}</section>', body=body)


def _labels(visit: Visit, report: CheckReport) -> Html:
    if not report.labels:
        return Html("")
    if visit.studio.label_quality.was_judged(visit.choices.dataset) and not _running_job(visit, "judge"):
        has_suspects = any(each.kind == "label-error" for each in report.problems)
        words = "The labels were checked. See above." if has_suspects else "The labels were checked. None looks wrong."
        return stack("Labels", "closer", html('<p class="muted small">{words}</p>', words=words))
    words = "A small classifier learns from your other rows and checks each label."
    return stack("Labels", "closer", _progress_or_offer(visit, "judge", "Find wrong labels", words))


def _progress_or_offer(visit: Visit, act: str, label: str, words: str, classes: str = "muted small") -> Html:
    """The progress of the job that an action starts, or what it does, with its button."""
    if job := _running_job(visit, act):
        return _progress(job, act, label)
    return with_button(words, button(label, act, "s"), classes)


def _progress(job: Job, act: str, label: str) -> Html:
    """The progress of a job, or its error."""
    if job.error:
        return html('{alert}<div class="row">{b}</div>', alert=alert(job.error), b=button(label, act, "s"))
    return html(
        '<p class="muted small" role="status">{words} …</p>{track}{poll}',
        words=job.title,
        track=track(job.share, "", f"{job.title}: {100 * job.share:.0f}%"),
        poll=poll("look", 600),
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
        allows=stack("What to expect of your rows", "allows", html("<p>{s}</p>", s=allows)),
        curve=_curve(visit),
    )


def _curve(visit: Visit) -> Html:
    task = next((each for each in visit.studio.catalog.tasks() if each.name == visit.choices.task), None)
    if task is None or not any(role.name == "label" for role in task.roles):
        return Html("")
    known = visit.studio.label_quality.known_curve(visit.choices.dataset)
    if known and not _running_job(visit, "curve"):
        body = html(
            '{chart}<p>{s}</p><div class="row">{b}</div>',
            chart=curve_chart(known),
            s=known.sentence,
            b=button("Draw the curve again", "curve", "s quiet"),
        )
    else:
        words = (
            "Trains a small classifier on more and more of your rows. Measures each on held-out rows. Takes seconds."
        )
        body = _progress_or_offer(visit, "curve", "Draw the learning curve", words, "muted")
    return stack("Would more rows help?", "curve", body, "mid")


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
    return panel("Synthetic rows", "made", body)


def _chosen_way(visit: Visit, ways: Sequence[WayView]) -> WayView:
    """The chosen way to make rows. The first one, where none was chosen or it can't be used."""
    name = visit.choices.extra.get("way")
    return next((way for way in ways if way.name == name and not way.unavailable_reason), ways[0])


def _form(visit: Visit, proposals: Proposals) -> Html:
    extra, ways = visit.choices.extra, visit.studio.augmentation.ways(visit.choices.dataset, visit.choices.model)
    chosen = _chosen_way(visit, ways)
    choices = [(way.name, way.title, way.unavailable_reason) for way in ways]
    count = int(extra.get("make", USUAL))
    skipped = f"No usable text was found for {rows_words(proposals.skipped)}."
    return html(
        "{none}<p>Synthetic rows are marked, and wait until you have reviewed them. They are never used for validation "
        'or test. The reply or the label stays the same.</p>{ways}<p class="muted">{sentence}</p>'
        '{reasons}<div class="row gap"><label for="f-make">Number of rows</label>{count}{make}</div>',
        none=note("warn", skipped) if proposals.skipped else "",
        ways=segments("way", "way", choices, chosen.name, "Augmentation method"),
        sentence=chosen.sentence,
        reasons=[
            html('<p class="muted small"><span>{t}:</span> <span>{w}</span></p>', t=title, w=reason)
            for _, title, reason in choices
            if reason
        ],
        count=text_input("make", count, "make-count", inputmode="numeric", size=5, class_="rowno"),
        make=button("Make rows", "make", "primary"),
    )
