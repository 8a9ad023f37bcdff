"""Predictions for many rows: a file, a dataset, or the rows without a label. Part of the tabs Evaluate and Data."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from studio.schema.dataset import DatasetRecord
from studio.schema.errors import StudioError
from studio.schema.labeling import Labeling
from studio.schema.predictions import PredictionSet
from studio.schema.runs import RunRecord
from studio.ui.components import predictions as components
from studio.ui.components.basic import alert, button
from studio.ui.components.layout import stack
from studio.ui.components.markup import Html, html
from studio.ui.components.predictions import PredictionJob
from studio.ui.http.uploads import Uploads
from studio.ui.jobs import JOBS, Key
from studio.ui.selected import select_run, target_run
from studio.ui.tabs.data.import_options import AT_ONCE
from studio.ui.visitors.session import Visit

Acts = dict[str, Callable[[Visit], None]]


def acts(files: Uploads) -> Acts:
    """What a person can do on the Evaluate tab. `files`: what was uploaded."""
    return {
        **ACTS,
        "predict": predict,
        "predict-data": choose_dataset,
        "delete-predictions": delete,
        "review": review,
        "file": partial(predict_file, files=files),
    }


def label_rest(visit: Visit) -> None:
    """Predict labels for the rows without one, in the background."""
    run, studio = visit.studio.runs.get(target_run(visit)), visit.studio
    job = PredictionJob(run=run.id, dataset=run.dataset)
    _begin(visit, job, lambda job: studio.predictions.label_rest(run.id, "", job.advance, job.cancelled))


def predict(visit: Visit) -> None:
    """Predict rows of a dataset in the background, or continue to do so."""
    if visit.text("which", 20) == "unlabeled":
        label_rest(visit)
        return
    run, studio = visit.studio.runs.get(target_run(visit)), visit.studio
    record, base = studio.datasets.get(visit.text("dataset", 80)), visit.text("base", 1) == "1"

    def work(job: PredictionJob) -> PredictionSet:
        return studio.predictions.predict(run.id, record.id, job.advance, job.cancelled, base=base)

    _begin(visit, PredictionJob(run=run.id, dataset=record.id), work)


def predict_file(visit: Visit, files: Uploads) -> None:
    """Import the file that was just sent, unless it is a dataset already, and predict its rows in the background.

    The uploaded file is deleted when it has been imported, and at once when the job is refused.
    """
    paths: list[Path] = []

    def delete_uploads() -> None:
        for each in paths:
            files.forget(each)

    try:
        for ticket in (visit.text("tickets", 200) or visit.text("ticket", 64)).split():
            paths.append(files.take(visit.workspace, ticket))
        _begin_file(visit, paths, delete_uploads)
    except BaseException:
        delete_uploads()
        raise


def _begin_file(visit: Visit, paths: Sequence[Path], delete_uploads: Callable[[], None]) -> None:
    if len(paths) != 1:
        raise StudioError(
            "too-large",
            "The studio predicts one file at a time.",
            given=f"{len(paths)} files",
            valid="one file",
            hint="Choose the next file when this one is done.",
        )
    [path] = paths
    run, studio = visit.studio.runs.get(target_run(visit)), visit.studio

    def work(job: PredictionJob) -> PredictionSet:
        record = studio.library.find_same([path])
        if record is None and path.stat().st_size > AT_ONCE:
            record = studio.jobs.add_files({path.name: path}, job.watch)
        record = record or studio.datasets.add_file(path, path.name)
        delete_uploads()  # predicting takes longer than importing
        job.dataset = record.id
        return studio.predictions.predict(run.id, record.id, job.advance, job.cancelled)

    _begin(visit, PredictionJob(run=run.id, at_end=delete_uploads), work)


def stop(visit: Visit) -> None:
    """Cancel. Rows that have a prediction are saved."""
    JOBS.cancel(_key(visit, visit.text("run", 100)))


def choose_dataset(visit: Visit) -> None:
    """Choose the dataset to predict."""
    visit.remember(predict_data=visit.text("value", 80))


def delete(visit: Visit) -> None:
    """Delete saved predictions."""
    visit.studio.predictions.delete(visit.text("run", 100), visit.text("id", 200))


def review(visit: Visit) -> None:
    """Open the predicted labels in the Data tab, the least certain first."""
    studio, run = visit.studio, visit.studio.runs.get(visit.text("run", 100))
    select_run(visit, run.id)
    saved = next((each for each in studio.predictions.all(run.id) if _is_of_rest(each, run)), None)
    if saved is None:
        raise StudioError(
            "unknown-name",
            "These predictions do not exist. They may have been deleted.",
            hint="Predict the rows again on the Evaluate tab.",
        )
    studio.labels.use_predictions(run.dataset, saved)
    if "least-sure" in dict(studio.labels.state(run.dataset, visit.labeller).orders):
        studio.labels.choose_order(run.dataset, "least-sure", visit.labeller)
    visit.choose(dataset=run.dataset, task=run.task, view="label")
    visit.add("label", view="one")
    visit.goto("data")


def drop_predictions(visit: Visit) -> None:
    """Let the small classifier suggest labels again."""
    visit.studio.labels.use_predictions(visit.choices.dataset, None)


ACTS: Acts = {"label-rest": label_rest, "stop-predicting": stop, "drop-predictions": drop_predictions}
"""What a person can do in the view Label of the Data tab."""


def _key(visit: Visit, run: str) -> Key:
    return visit.workspace, f"predict {run}"


def _begin(visit: Visit, job: PredictionJob, work: Callable[[Any], Any]) -> None:
    """Start a job. Refused while another dataset is predicted with this model."""
    key = _key(visit, job.run)
    JOBS.take(key)
    if JOBS.begin(key, job, work) is not job:
        hint = "Wait until it ends, or cancel it."
        raise StudioError("wrong-state", "Other rows are being predicted with this model.", hint=hint)


def _job(visit: Visit, run: str) -> tuple[PredictionJob | None, Html]:
    """The running job of a run, and why the last one failed, which is shown once it has ended."""
    job: Any = visit.job(_key(visit, run))
    if job is None or not job.ended:
        return job, Html("")
    return None, alert(job.error) if job.error else Html("")


def _is_of_rest(saved: PredictionSet, run: RunRecord) -> bool:
    """Whether predictions are about the rows without a label of the run's dataset."""
    return saved.which == "unlabeled" and saved.dataset == run.dataset


# --- drawing ---


def panels(visit: Visit, run: RunRecord) -> Html:
    """The panels of the Evaluate tab: rows without a label, and predictions for any rows."""
    job, problem = _job(visit, run.id)
    studio = visit.studio
    saved = studio.predictions.all(run.id)
    outdated = {each.id for each in saved if studio.predictions.is_outdated(each)}
    chosen = _chosen_dataset(visit, run)
    tokens = 0 if studio.chat.is_classifier(run.id) else studio.predictions.settings.max_new_tokens
    work = html("{p}", p=components.progress(job)) if job else ""
    form = "" if job else components.choose_rows(run.id, studio.datasets.all(), chosen, tokens)
    current = {each.id: each.version for each in studio.datasets.all()}
    same_rows = [each for each in saved if current.get(each.dataset) == each.version]
    resumable = {each.id for each in same_rows if job is None and (each.which == "all" or _is_of_rest(each, run))}
    listed = components.saved_list(run.id, run.name, saved, outdated, resumable)
    return html(
        '<div class="stack predictions" data-key="predictions">{problem}{rest}{many}</div>',
        problem=problem,
        rest=_rest(visit, run, saved, job),
        many=stack("Predict many rows", "predict-many", [work, form, listed], "mid"),
    )


def _chosen_dataset(visit: Visit, run: RunRecord) -> str:
    known = [each.id for each in visit.studio.datasets.all()]
    others = [each for each in known if each != run.dataset]  # rows that were trained on show little
    candidates = (visit.choices.extra.get("predict_data", ""), *others, run.dataset)
    return next((each for each in candidates if each in known), "")


def _rest(visit: Visit, run: RunRecord, saved: list[PredictionSet], job: PredictionJob | None) -> Html:
    """What to do with the rows without a label. Empty when there are none, or the model can't label them."""
    rows = visit.studio.predictions.remaining(run.id)
    mine = next(
        (each for each in saved if _is_of_rest(each, run) and not visit.studio.predictions.is_outdated(each)), None
    )
    if not rows or (job and job.dataset == run.dataset):
        return Html("")
    state = visit.studio.labels.reviewing(mine) if mine and mine.complete else None
    if mine is not None and state is not None and state.unavailable_reason:
        changed = html('<p class="wt">{words}</p>', words=state.unavailable_reason)
        saves = html('<div class="row wrap">{s}</div>', s=components.saves(run.id, run.name, mine))
        return components.rest_panel(changed + saves)
    if mine is None or state is None or not state.rows:
        return components.rest_panel(components.rest_offer(run.id, run.name, rows)) if job is None else Html("")
    words = "The least certain come first. Enter accepts a prediction, the key of a label corrects it."
    body = html(
        '<p><b>{left}</b> <span class="muted">{words}</span></p><div class="row wrap">{go}{save}</div>',
        left=f"{state.rows:,} predicted labels are not reviewed yet.",
        words=words,
        go=button("Review the predicted labels", "review", "s accent", run=run.id),
        save=components.saves(run.id, run.name, mine),
    )
    return components.rest_panel(body)


def label_panel(visit: Visit, now: Labeling, record: DatasetRecord) -> Html:
    """The panel of the view Label: predictions to review, a job in progress, or the offer to predict the rest."""
    if now.work != "label" or not now.labels:
        return Html("")
    open_rows = 0 if now.suggesting.run else len(visit.studio.labels.open_rows(record.id))
    run = now.suggesting.run or (_labeler(visit, record) if open_rows else "")
    if not run:
        return Html("")
    job, problem = _job(visit, run)
    name = visit.studio.runs.get(run).name
    if job:
        body = components.progress(job)
    elif now.suggesting.run:
        body = _to_review(visit, now)
    else:
        body = components.rest_offer(run, name, open_rows)
    return html("{p}{panel}", p=problem, panel=stack("Predicted labels", "predicted", body, "mid"))


def _labeler(visit: Visit, record: DatasetRecord) -> str:
    """The newest run whose model can label the rows without a label. Empty: none."""
    runs = (run for run in visit.studio.runs.all() if run.dataset == record.id and run.has_result)
    newest = next(runs, None)
    return newest.id if newest and not visit.studio.predictions.unavailable_reason(newest.id) else ""


def _to_review(visit: Visit, now: Labeling) -> Html:
    state, name = now.suggesting, now.suggesting.run_name
    left = f"{state.rows:,} of {state.predicted:,} predicted labels are not reviewed yet."
    words = (
        f"The model {name} predicted them. The least certain come first. They are not trained on or tested "
        "with before you accept them."
    )
    saved = next((each for each in visit.studio.predictions.all(state.run) if each.id == state.predictions), None)
    return html(
        '<p><b>{left}</b></p><p class="muted">{words}</p>{why}<div class="row wrap">{save}{drop}</div>',
        left=left,
        words=words,
        why=state.unavailable_reason and html('<p class="wt">{w}</p>', w=state.unavailable_reason),
        save=saved and components.saves(state.run, state.run_name, saved),
        drop=button("Use the small classifier", "drop-predictions", "s quiet"),
    )
