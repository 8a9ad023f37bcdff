"""Predictions for many rows: progress of a job, saved predictions with downloads, and what to do with suggestions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from time import monotonic

from studio.schema.dataset import DatasetRecord
from studio.schema.numbers import about, ago, duration, plural, speed
from studio.schema.numbers import rows as rows_words
from studio.schema.predictions import PredictionSet
from studio.ui.components.basic import Field, button, tag, track
from studio.ui.components.layout import look_again, stack
from studio.ui.components.markup import Html, Verbatim, html, join
from studio.ui.jobs import Job

POLL_INTERVAL = 1000
"""Milliseconds between two requests while rows are predicted."""
ENOUGH = 0.5
"""Seconds of predicting after which the speed is shown."""


@dataclass
class PredictionJob(Job):
    """A job that predicts rows. The speed leaves out the time to load the model."""

    run: str = ""
    dataset: str = ""
    """The dataset. Empty: the file is still being read."""
    start: tuple[int, float] = field(default=(0, 0.0))
    """Rows that were done when predicting began, and the time."""

    def advance(self, done: int, total: int, title: str = "") -> None:
        """Progress. As long as the number of rows does not grow, predicting has not begun."""
        if done <= self.done or not self.start[1]:
            self.start = (done, monotonic())
        super().advance(done, total, title)

    @property
    def rows_per_second(self) -> float | None:
        """The speed. None while it is too early to tell."""
        rows, seconds = self.done - self.start[0], monotonic() - self.start[1]
        return rows / seconds if rows > 0 and seconds > ENOUGH else None


def progress(job: PredictionJob) -> Html:
    """The progress of a job, with its speed, the time left, and a button to cancel."""
    words = [f"{job.done:,} of {job.total:,} rows"] if job.total else []
    if rate := job.rows_per_second:
        words.append(speed(rate))
        words.append(f"{about((job.total - job.done) / rate)} left")
    else:
        words.append(job.title or "Waiting for the model")
    return html(
        '<div class="stack mid" data-key="predicting"><div class="row"><b>Predicting</b><span class="right nowrap"><b>'
        '{share:.0f}%</b></span></div>{track}<p class="muted" role="status">{words}</p><div class="row wrap">{stop}'
        '<small class="muted">{stay}</small></div>{again}</div>',
        share=100 * job.share,
        track=track(job.share, label="Predicting"),
        words=join(words, " · "),
        stop=button("Cancel", "stop-predicting", "s", run=job.run),
        stay="You can leave this page. Finished rows are saved.",
        again=look_again(POLL_INTERVAL),
    )


def saves(run: str, run_name: str, saved: PredictionSet) -> Html:
    """Buttons that download the rows with their predictions."""
    name, kinds = saved.name, ["csv", "jsonl"]
    if PurePath(name).suffix.lower() == ".xlsx":
        kinds.insert(0, "xlsx")
    stem = PurePath(name).stem or "rows"
    stem = f"{run_name}-predictions" if run_name.startswith(stem) else f"{stem}-{run_name}"
    return html(
        "{buttons}",
        buttons=[
            html(
                '<button type="button" class="btn s" data-save="studio/predictions/{run}/{id}.{kind}" '
                'data-name="{stem}.{kind}" aria-label="{label}">Save as {title}</button>',
                run=run,
                id=saved.id,
                kind=kind,
                stem=stem,
                label=f"Save the predictions for {name} as {kind.upper()}",
                title=kind.upper(),
            )
            for kind in kinds
        ],
    )


def saved_list(
    run: str, run_name: str, saved: Sequence[PredictionSet], outdated: set[str], resumable: set[str]
) -> Html:
    """The saved predictions of a run. `outdated`: ids of those by an earlier model of the run. `resumable`: of those
    whose other rows can be predicted now."""
    if not saved:
        return Html("")
    items = [_saved(run, run_name, each, each.id in outdated, each.id in resumable) for each in saved]
    return html('<ul class="list opts" aria-label="Saved predictions">{items}</ul>', items=items)


def _saved(run: str, run_name: str, each: PredictionSet, outdated: bool, resumable: bool) -> Html:
    name = each.name
    facts = [
        "all rows" if each.which == "all" else "rows without a label",
        *(["by the base model"] if each.base else []),
        f"version {each.version}",
        rows_words(each.done) if each.complete else f"{each.done:,} of {each.total:,} rows",
        ago(each.created),
    ]
    if each.seconds >= 1:
        facts.append(f"predicted in {duration(each.seconds)}")
    acts = [saves(run, run_name, each)] if each.done else []
    if not each.complete and resumable:
        label = f"Continue with {name}"
        acts.append(
            button(
                "Continue",
                "predict",
                "s",
                run=run,
                dataset=each.dataset,
                which=each.which,
                base=int(each.base),
                aria_label=label,
            )
        )
    question = f"Delete the predictions for “{name}”? Labels that you accepted stay."
    label = f"Delete the predictions for {name}"
    acts.append(
        button(
            "Delete", "delete-predictions", "s quiet danger", run=run, id=each.id, aria_label=label, confirm=question
        )
    )
    return html(
        '<li data-key="{id}"><span class="grow"><span class="row"><b class="cut">{name}</b>{old}</span><small>{facts}'
        '</small>{note}</span><span class="row wrap acts">{acts}</span></li>',
        id=each.id,
        name=Verbatim(name),
        old=outdated and tag("earlier checkpoint", "warn"),
        facts=join(facts, " · "),
        note=each.note and html('<small class="wt">{n}</small>', n=each.note),
        acts=acts,
    )


def choose_rows(run: str, datasets: Sequence[DatasetRecord], chosen: str, tokens: int) -> Html:
    """The form to predict all rows of a dataset or of a file. `tokens`: of a reply at most. 0: there are no replies."""
    options = [(each.id, Verbatim(each.name)) for each in datasets]
    words = (
        f"Each row gets a reply of up to {tokens} tokens. Your file stays as it is: you download a copy with the "
        "column prediction."
        if tokens
        else "Each row gets a prediction. Your file stays as it is: you download a copy with the columns prediction "
        "and confidence."
    )
    rows = Field("predict-data", "Rows", words).select(options, chosen, "predict-data", data_run=run) if options else ""
    return html(
        '<div class="stack mid">{rows}<div class="row wrap">{start}<label class="btn s filebtn">Choose a file<input '
        'type="file" class="sr" data-file aria-label="Choose a file to predict"></label></div><div class="sending" '
        'data-sending data-keep aria-live="polite"></div></div>',
        rows=rows,
        start=options and button("Predict all rows", "predict", "s accent", run=run, dataset=chosen, which="all"),
    )


def rest_offer(run: str, name: str, rows: int) -> Html:
    """The offer to label the rows without a label, for the view Label and the Evaluate tab. `name`: of the run."""
    label = plural(rows, "Label the remaining row with this model", "Label the remaining {n} rows with this model")
    return html(
        '<p class="muted">{words}</p><div class="row">{start}</div>',
        words=f"The model {name} predicts labels for the rows without one. You accept or correct them by key. A "
        "prediction is not trained on or tested with before you accept it.",
        start=button(label, "label-rest", "s accent", run=run),
    )


def rest_panel(body: Html) -> Html:
    """The panel about rows without a label."""
    return stack("Rows without a label", "rest", body, "mid")
