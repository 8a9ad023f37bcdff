"""Cross-validation, with real trainings: each row is answered by a model that did not see it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_runs import tiny_llama
from worker_runs import wait_for

from studio.api import RunRequest, Studio
from studio.schema.errors import StudioError
from studio.schema.runs import ACTIVE

FEW: dict[str, Any] = {"max_length": 64, "max_steps": 2, "precision": "float32", "early_stopping_patience": 0}
LABELED = "text,label\n" + "".join(
    f"{'Where is my parcel' if n % 2 else 'The lamp is broken'} {n}?,{'delivery' if n % 2 else 'damage'}\n"
    for n in range(45)
)


pytestmark = pytest.mark.usefixtures("tiny_starters")


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    made = Studio(tmp_path / "home")
    yield made
    made.close()


def trained(studio: Studio, dataset: str, model: str, task: str, **settings: Any) -> str:
    run = studio.runs.start(RunRequest(dataset=dataset, model=model, task=task, settings={**FEW, **settings}))
    wait_for(lambda: studio.runs.get(run.id).status not in ACTIVE, 600, studio)
    assert studio.runs.get(run.id).has_result, studio.runs.log(run.id)
    return run.id


def test_each_row_is_answered_by_the_model_of_a_fold_that_did_not_see_it(studio: Studio) -> None:
    dataset = studio.datasets.add_text(LABELED).id
    run = trained(studio, dataset, "starter-classify", "classification")
    begun = studio.cross_validation.start(run, 3)
    assert begun.status == "training" and len(begun.runs) == 3
    assert studio.cross_validation.start(run, 3).runs[0].id == begun.runs[0].id, "a second click starts nothing"
    wait_for(lambda: studio.cross_validation.view(run).status == "trained", 600, studio)  # type: ignore[union-attr]
    report = studio.cross_validation.evaluate(run)
    tested: list[int] = []
    for each in begun.runs:
        splits = json.loads(studio.runs.store.folder(each.id).splits.read_text())
        assert not set(splits["test"]) & {*splits["train"], *splits["validation"]}
        assert studio.runs.spec(each.id).config.max_steps == 2
        tested += splits["test"]
    assert sorted(tested) == list(range(1, 46)) and report.rows == 45
    assert [score.rows for score in report.fold_scores] == [15, 15, 15]
    right = sum(score.rows * score.metrics["accuracy"] for score in report.fold_scores)
    assert report.metrics["accuracy"].tuned == pytest.approx(right / 45)
    assert sum(sum(row.values()) for row in (report.confusion or {}).values()) == 45
    assert {baseline.name for baseline in report.baselines} == {"majority", "neighbors", "chance"}
    assert "45 rows of all folds" in report.verdict and "Each of the 3 models answered only rows" in report.note
    assert studio.cross_validation.view(run).status == "finished"  # type: ignore[union-attr]
    again = studio.evaluation.evaluate(run)
    assert again.cross_validation == report, "another evaluation of the run keeps it"
    kept = studio.evaluation.report(run)
    assert kept and kept.cross_validation == report


def test_folds_are_paused_continued_and_canceled(studio: Studio, tmp_path: Path) -> None:
    model = str(tiny_llama(tmp_path / "tiny").path)
    rows = "".join(f"Where is number {n}?,Under the stone {n} of {n * n}.\n" for n in range(24))
    run = trained(studio, studio.datasets.add_text("prompt,reply\n" + rows).id, model, "chat")
    studio.cross_validation.start(run, 2)
    paused = studio.cross_validation.pause(run)
    wait_for(lambda: not any(each.status in ACTIVE for each in studio.runs.all()), 600, studio)
    paused = studio.cross_validation.view(run)
    assert paused and paused.status in ("paused", "trained")
    studio.cross_validation.start(run, 2)
    stopped = studio.cross_validation.stop(run)
    assert stopped.status in ("stopped", "finished")
    wait_for(lambda: not any(each.status in ACTIVE for each in studio.runs.all()), 600, studio)
    with pytest.raises(StudioError, match="is not complete"):
        studio.cross_validation.evaluate(run)
    assert studio.cross_validation.start(run, 2).status == "training"
    wait_for(lambda: studio.cross_validation.view(run).status == "trained", 600, studio)  # type: ignore[union-attr]
    report = studio.cross_validation.evaluate(run)
    assert report.rows == 24 and report.metrics["loss"].base and not report.baselines


def test_a_run_that_can_not_be_divided_into_folds_is_refused_with_the_reason(studio: Studio, tmp_path: Path) -> None:
    model = str(tiny_llama(tmp_path / "tiny").path)
    dataset = studio.datasets.add_text("prompt,reply\n" + "".join(f"Hello {n},Good day {n}\n" for n in range(12))).id
    run = trained(studio, dataset, model, "chat")
    for folds, words in ((13, "too few different rows for 13 folds"), (1, "number of folds is not valid")):
        with pytest.raises(StudioError, match=words):
            studio.cross_validation.start(run, folds)
    later = studio.runs.extend(run)
    wait_for(lambda: studio.runs.get(later.id).status not in ACTIVE, 600, studio)
    problem = studio.cross_validation.problem(later.id)
    assert problem and "may have seen the rows" in problem.what
    assert len(studio.runs.all()) == 2, "nothing was left behind"
