"""The report of a cross-validation: the observations of all folds together, and the rows to show of each."""

from functools import partial

import numpy as np
import pytest

from studio.evaluation.baselines import Guess
from studio.evaluation.cross_validation import CrossValidationReport
from studio.evaluation.evaluators import Evaluation
from studio.evaluation.verdict import of_labels, of_texts
from studio.metrics import measure
from studio.metrics.scores import confusion, per_label
from studio.schema.report import FoldScore, JudgedRow

LABELS = ("late", "broken")


def row(number: int, score: float) -> JudgedRow:
    return JudgedRow(row=number, text="", expected="late", base="", tuned="late", score=score)


def labeled(expected: list[int], predicted: list[int], first: int, answer: str) -> Evaluation:
    tuned = {"expected": np.array(expected), "predicted": np.array(predicted)}
    details = {
        "per_label": per_label(tuned["expected"], tuned["predicted"], LABELS),
        "confusion": confusion(tuned["expected"], tuned["predicted"], LABELS),
        "best_rows": (row(first, 0.9), row(first + 1, 0.7)),
        "worst_rows": (row(first + 2, 0.1 + first / 100),),
        "changed_rows": (),
        "confused_rows": (),
    }
    always = {"expected": tuned["expected"], "predicted": np.zeros(len(expected), int)}
    guess = Guess("majority", "Majority class", "", always, answer)
    describe = partial(of_labels, per_label=details["per_label"], confusion=details["confusion"])
    return Evaluation(list(range(first, first + len(expected))), None, tuned, describe, "", details, [guess])


def pooled(*evaluations: Evaluation, names: tuple[str, ...] = ("accuracy", "macro_f1")) -> CrossValidationReport:
    made = CrossValidationReport(len(evaluations))
    made.evaluations, made.names, made.labels = list(evaluations), list(names), LABELS
    made.scores = [
        FoldScore(run=f"fold {number}", rows=len(each.numbers), metrics=measure(names, each.tuned))
        for number, each in enumerate(evaluations, start=1)
    ]
    made.known = sum(score.rows for score in made.scores)
    return made


def test_labels_of_all_folds_are_counted_together() -> None:
    one = labeled([0, 0, 1, 1, 0, 1, 0, 1], [0, 0, 1, 1, 0, 1, 0, 0], 1, "late")
    other = labeled([1, 1, 0, 0], [1, 1, 0, 1], 9, "late")
    report = pooled(one, other).report()
    assert report.rows == 12 and report.split == "folds"
    assert report.metrics["accuracy"].tuned == pytest.approx(10 / 12)
    assert report.confusion == {"late": {"late": 5, "broken": 1}, "broken": {"late": 1, "broken": 5}}
    assert report.per_label and report.per_label["late"]["rows"] == 6
    assert [each.name for each in report.baselines] == ["majority", "chance"]
    assert report.baselines[0].metrics["accuracy"].value == 0.5 and report.baselines[0].answer == "late"
    assert "10 of 12 rows of all folds are labeled correctly." in report.verdict
    assert "Accuracy of the single folds is 75% to 88%." in report.note


def test_the_best_and_the_worst_rows_are_those_of_all_folds() -> None:
    report = pooled(labeled([0, 1], [0, 1], 1, "late"), labeled([0, 1], [0, 1], 11, "late")).report()
    assert [each.row for each in report.best_rows] == [1, 11, 2]
    assert [each.row for each in report.worst_rows] == [3, 13]


def test_losses_of_both_models_are_weighted_by_tokens_and_lower_is_better() -> None:
    folds = []
    for first, loss in ((1, 2.0), (9, 4.0)):
        tokens = np.full(8, 10 if first == 1 else 30)
        base, tuned = ({"loss": each * tokens, "tokens": tokens} for each in (5.0, loss))
        details = {"best_rows": (row(first, loss),), "worst_rows": (row(first + 1, loss + 1),)}
        folds.append(Evaluation(list(range(first, first + 8)), base, tuned, of_texts, "", details))
    report = pooled(*folds, names=("loss",)).report()
    assert report.metrics["loss"].tuned == pytest.approx((2 * 10 + 4 * 30) / 40)
    assert report.metrics["loss"].base == pytest.approx(5.0) and report.outcome == "better"
    assert [each.row for each in report.best_rows] == [1, 9]
    assert [each.row for each in report.worst_rows] == [10, 2]


def test_of_folds_with_few_rows_the_lowest_losses_are_the_best() -> None:
    folds = []
    for first, losses in ((1, (0.5, 3.0)), (3, (0.2, 2.0)), (5, (1.0, 4.0))):
        observed = {"loss": np.array(losses), "tokens": np.ones(2)}
        details = {"best_rows": tuple(row(first + at, loss) for at, loss in enumerate(losses)), "worst_rows": ()}
        folds.append(Evaluation([first, first + 1], observed, observed, of_texts, "", details))
    report = pooled(*folds, names=("loss",)).report()
    assert [each.row for each in report.best_rows] == [3, 1, 5]
    assert [each.row for each in report.worst_rows] == [6, 2, 4]


def test_a_sample_of_many_rows_is_said() -> None:
    made = pooled(labeled([0, 1], [0, 1], 1, "late"), labeled([0, 1], [0, 1], 11, "late"))
    made.known = 900
    assert "4 of 900 rows were selected at random." in made.report().note
