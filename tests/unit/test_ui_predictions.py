"""Predictions on the page: the offer, the progress, saved predictions, and what is refused. No model is loaded."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from studio.data.formats import read
from studio.schema.errors import StudioError
from studio.schema.labeling import Suggestion
from studio.schema.predictions import PredictedRow, PredictionSet
from studio.schema.runs import RunRecord, RunSpec
from studio.store.predictions import PredictionStore
from studio.ui.components.predictions import PredictionJob, progress, saved_list, saves
from studio.ui.http.uploads import Uploads
from studio.ui.jobs import JOBS
from studio.ui.tabs import prediction
from studio.ui.tabs.data import labeling, unlabeled
from studio.ui.visitors.session import Visit
from tests.browser.made import Made

EVIL = "<img src=x onerror=alert(1)>"
TEXTS = "comment\n" + "".join(f"This is comment number {n} {EVIL}\n" for n in range(30))
Visiting = Callable[..., Visit]


@pytest.fixture
def run(visit: Visiting) -> RunRecord:
    """A finished run on 12 labels of 30 rows. It was never trained."""
    studio = visit().studio
    dataset = studio.datasets.add_text(TEXTS, f"comments {EVIL}.csv").id
    studio.labels.set_names(dataset, ["praise", "complaint"])
    for row in range(1, 13):
        studio.labels.give(dataset, row, "praise" if row % 2 else "complaint", "Ann")
    studio.labels.apply(dataset)
    made = Made(studio.home.root, "mood", at=60, task="classification")
    spec = made.space.runs.spec(made.id)
    own = {"dataset": dataset, "dataset_version": 2, "data": made.space.datasets.get(dataset).spec}
    made.space.runs.replace_spec(made.id, RunSpec.model_validate({**spec.model_dump(), **own}))
    made.finish()
    return made.space.runs.get(made.id)


def predicted(visit: Visiting, run: RunRecord, rows: range = range(13, 31), **fields: Any) -> PredictionSet:
    """Predictions as the service saves them."""
    store = PredictionStore(visit().studio.runs.store.folder(run.id).predictions)
    saved = PredictionSet(
        id=f"{run.dataset}-v2-unlabeled",
        run=run.id,
        dataset=run.dataset,
        version=2,
        name=f"comments {EVIL}.csv",
        which="unlabeled",
        total=18,
        done=len(rows),
        step=run.best_step,
        created="2026-11-30T18:00:00+00:00",
    ).model_copy(update=fields)
    store.keep(saved)
    store.append(saved.id, [sure(row) for row in rows])
    return saved


def sure(row: int) -> PredictedRow:
    confidence = 0.5 + row / 100
    labels = (("praise", confidence), ("complaint", 1 - confidence))
    return PredictedRow(row=row, prediction="praise", confidence=confidence, labels=labels)


def test_the_evaluate_tab_and_the_view_label_offer_to_label_the_rest(visit: Visiting, run: RunRecord) -> None:
    shown = prediction.panels(visit(), run)
    assert "Label the remaining 18 rows with this model" in shown and EVIL not in shown
    page = visit()
    page.choose(dataset=run.dataset, task="classification", view="label")
    _, body, _ = labeling.drawn(page)
    assert "Label the remaining 18 rows with this model" in body
    assert "About 2 of 12 labeled rows are held out to measure the model." in unlabeled.of_labeling(
        page.studio.labels.state(run.dataset).model_copy(update={"total": 12})
    )


def test_predicted_labels_are_reviewed_the_least_certain_first_and_no_other_suggestions_are_made(
    visit: Visiting, run: RunRecord
) -> None:
    predicted(visit, run)
    assert "18 predicted labels are not reviewed yet." in prediction.panels(visit(), run)
    page = visit(run=run.id)
    prediction.review(page)
    assert (page.wanted_tab, page.choices.view, page.choices.dataset) == ("data", "label", run.dataset)
    state = page.studio.labels.state(run.dataset)
    assert (state.row, state.order) == (13, "least-sure")
    assert state.suggestion == Suggestion(labels=sure(13).labels)
    assert not state.suggesting.due, "the small classifier does no work meanwhile"
    _, body, _ = labeling.drawn(page)
    assert "18 of 18 predicted labels are not reviewed yet." in body and 'data-hot="Enter"' in body
    assert page.studio.labels.give(run.dataset, 13, "praise").suggesting.rows == 17
    prediction.drop_predictions(page)
    assert page.studio.labels.state(run.dataset).suggesting.run == ""


def test_a_renamed_label_ends_the_suggestions_and_the_page_says_why(visit: Visiting, run: RunRecord) -> None:
    page = visit()
    page.studio.labels.use_predictions(run.dataset, predicted(visit, run))
    page.studio.labels.rename(run.dataset, "praise", "thanks")
    state = page.studio.labels.state(run.dataset)
    assert state.suggestion is None and "The labels were changed" in state.suggesting.unavailable_reason


def test_predictions_of_an_edited_text_are_no_suggestions(visit: Visiting, run: RunRecord) -> None:
    studio = visit().studio
    studio.labels.use_predictions(run.dataset, predicted(visit, run))
    studio.editing.edit(run.dataset, 20, {"label": "praise"})
    assert studio.labels.state(run.dataset).suggesting.rows == 17, "another label moves no row"
    studio.editing.edit(run.dataset, 21, {"comment": "Another text"})
    assert studio.labels.state(run.dataset).suggesting.run == ""


def test_a_deleted_run_takes_its_predictions_along_and_labels_stay(visit: Visiting, run: RunRecord) -> None:
    studio = visit().studio
    studio.labels.use_predictions(run.dataset, predicted(visit, run))
    studio.labels.give(run.dataset, 13, "praise")
    studio.runs.delete(run.id)
    state = studio.labels.state(run.dataset)
    assert (state.suggesting.run, state.done) == ("", 13)


def test_unfinished_predictions_can_be_continued_and_those_of_an_earlier_checkpoint_are_marked(
    visit: Visiting, run: RunRecord
) -> None:
    predicted(visit, run, range(13, 20), note="Predictions may take 5 minutes at a time in this demo.")
    shown = prediction.panels(visit(), run)
    assert "7 of 18 rows" in shown and "Continue" in shown and "at a time in this demo" in shown
    assert "earlier checkpoint" not in shown
    predicted(visit, run, step=30)
    assert "earlier checkpoint" in prediction.panels(visit(), run)


def test_progress_has_rows_speed_and_time_left_without_the_time_to_load_the_model() -> None:
    job = PredictionJob(run="r", dataset="d")
    assert "Waiting for the model" in progress(job)
    job.advance(0, 1000, "Loading the model")
    time.sleep(0.3)
    job.advance(0, 1000, "Predicting")
    began = time.monotonic()
    time.sleep(0.6)
    job.advance(300, 1000, "Predicting")
    speed = job.rows_per_second
    assert speed is not None and speed == pytest.approx(300 / (time.monotonic() - began), rel=0.05)
    shown = progress(job)
    assert "300 of 1,000 rows" in shown and "rows per second" in shown and "left" in shown and "Cancel" in shown


def test_a_second_start_while_rows_are_predicted_is_refused(visit: Visiting, run: RunRecord) -> None:
    page, key = visit(run=run.id), ("default", f"predict {run.id}")
    JOBS.begin(key, PredictionJob(run=run.id), lambda job: job.cancelled.wait(20))
    with pytest.raises(StudioError, match="Other rows are being predicted"):
        prediction.label_rest(page)
    assert "Cancel" in prediction.panels(page, run)
    prediction.stop(page)
    assert "Cancel" not in prediction.panels(page, run)


def test_predictions_of_another_visitor_or_an_invented_id_are_refused(visit: Visiting, run: RunRecord) -> None:
    studio = visit().studio
    with pytest.raises(StudioError, match="do not exist"):
        studio.predictions.lines(run.id, "../../../secret")
    with pytest.raises(StudioError):
        studio.visitor("visitor-other").predictions.lines(run.id, "x")


def test_saved_predictions_escape_the_names_of_files(visit: Visiting, run: RunRecord) -> None:
    saved = predicted(visit, run)
    assert EVIL not in saved_list(run.id, f"run {EVIL}", [saved], set(), {saved.id})


def test_predictions_of_the_base_model_say_so_and_are_continued_with_it(visit: Visiting, run: RunRecord) -> None:
    saved = predicted(visit, run, which="all", base=True, total=30)
    shown = saved_list(run.id, run.name, [saved], set(), {saved.id})
    assert "by the base model" in shown and 'data-base="1"' in shown
    assert "by the base model" not in saved_list(
        run.id, run.name, [saved.model_copy(update={"base": False})], set(), {saved.id}
    )


def test_the_upload_of_a_refused_job_is_deleted_at_once_and_that_of_a_canceled_one_when_it_ends(
    visit: Visiting, run: RunRecord, tmp_path: Path
) -> None:
    files, key = Uploads(tmp_path / "uploads"), ("default", f"predict {run.id}")

    async def content() -> AsyncIterator[bytes]:
        yield b"comment\nGood.\n"

    def sent() -> str:
        return asyncio.run(files.keep("default", "rows.csv", content()))

    def left() -> list[Path]:
        return [each for each in (tmp_path / "uploads").rglob("*") if each.is_file()]

    with pytest.raises(StudioError, match="one file at a time"):
        prediction.predict_file(visit(run=run.id, tickets=f"{sent()} {sent()}"), files)
    assert left() == []
    with pytest.raises(StudioError):
        prediction.predict_file(visit(run="unknown", ticket=sent()), files)
    assert left() == []
    JOBS.begin(key, PredictionJob(run=run.id), lambda job: job.cancelled.wait(20))
    with pytest.raises(StudioError, match="Other rows are being predicted"):
        prediction.predict_file(visit(run=run.id, ticket=sent()), files)
    assert left() == []
    prediction.stop(visit(run=run.id))
    ended = threading.Event()
    job = PredictionJob(run=run.id, at_end=ended.set)
    job.cancelled.set()  # canceled before its turn
    JOBS.begin(key, job, lambda job: pytest.fail("the work began"))
    assert ended.wait(20)


def test_rows_without_a_text_are_neither_offered_nor_left_to_review(visit: Visiting, run: RunRecord) -> None:
    studio = visit().studio
    version = studio.editing.edit(run.dataset, 30, {"comment": ""}).version
    assert "Label the remaining 17 rows with this model" in prediction.panels(visit(), run)
    page = visit()
    page.choose(dataset=run.dataset, task="classification", view="label")
    assert "Label the remaining 17 rows with this model" in labeling.drawn(page)[1]
    predicted(visit, run, range(13, 30), id=f"{run.dataset}-v{version}-unlabeled", version=version, total=17)
    assert "17 predicted labels are not reviewed yet." in prediction.panels(visit(), run)
    for row in range(13, 30):
        studio.labels.give(run.dataset, row, "praise")
    shown = prediction.panels(visit(), run)
    assert "not reviewed yet" not in shown and "Label the remaining" not in shown, "row 30 has nothing to label"


def test_predictions_are_only_offered_for_review_while_they_are_about_these_rows_and_labels(
    visit: Visiting, run: RunRecord
) -> None:
    studio = visit().studio
    predicted(visit, run)
    studio.labels.rename(run.dataset, "praise", "thanks")
    shown = prediction.panels(visit(), run)
    assert "The labels were changed after the model predicted these rows." in shown and "not reviewed yet" not in shown
    studio.labels.rename(run.dataset, "thanks", "praise")
    assert "18 predicted labels are not reviewed yet." in prediction.panels(visit(), run)
    studio.editing.edit(run.dataset, 21, {"comment": "Another text"})
    shown = prediction.panels(visit(), run)
    assert "not reviewed yet" not in shown and "Label the remaining 18 rows with this model" in shown


def test_unfinished_predictions_of_an_earlier_version_are_kept_and_not_continued(
    visit: Visiting, run: RunRecord
) -> None:
    predicted(visit, run, range(13, 20))
    assert "Continue with" in prediction.panels(visit(), run)
    visit().studio.editing.edit(run.dataset, 21, {"comment": "Another text"})
    shown = prediction.panels(visit(), run)
    assert "7 of 18 rows" in shown and "Save as CSV" in shown and "Continue with" not in shown


def test_a_review_of_predictions_that_another_tab_has_deleted_is_refused_in_words(
    visit: Visiting, run: RunRecord
) -> None:
    with pytest.raises(StudioError, match="They may have been deleted"):
        prediction.review(visit(run=run.id))


def test_predictions_for_a_workbook_are_saved_as_one_and_no_name_is_doubled(
    visit: Visiting, run: RunRecord, tmp_path: Path
) -> None:
    shown = saves(run.id, "Mails", predicted(visit, run, name="Mails.xlsx"))
    assert shown.index("Save as XLSX") < shown.index("Save as CSV")
    assert 'data-name="Mails-predictions.xlsx"' in shown and "Mails-Mails" not in shown
    other = saves(run.id, "mood", predicted(visit, run, name="rows.csv"))
    assert 'data-name="rows-mood.csv"' in other and "XLSX" not in other
    book = visit().studio.predictions.workbook(run.id, predicted(visit, run).id, tmp_path)
    table = read(book)
    assert len(table) == 30 and {"prediction", "confidence"} <= set(table.columns)
    assert (table.row(12)["prediction"], table.row(13)["prediction"]) in ((None, "praise"), ("", "praise"))
