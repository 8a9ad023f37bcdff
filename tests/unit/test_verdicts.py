"""Verdicts: better only if it beats the same answer always, chance and the neighbors, in every main metric."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from studio.evaluation.baselines import Guess
from studio.evaluation.evaluate import measured
from studio.evaluation.evaluators import Evaluation, _note
from studio.evaluation.rows_needed import rows_to_settle, settle
from studio.evaluation.verdict import Measured, Verdict, interval, of_correlation, of_labels, of_score, of_texts
from studio.metrics.scores import confusion, per_label
from studio.schema.report import Baseline, BaselineMetric, Metric, Report, confused_pairs, rows_of_split

LABELS = ("anger", "fear", "joy", "love", "sad", "shame", "trust", "wonder")


def mixed(expected: Any, right: float, seed: int, labels: int = len(LABELS)) -> Any:
    """Predictions of which a share is right; the others are any other label."""
    random = np.random.default_rng(seed)
    wrong = (expected + random.integers(1, labels, len(expected))) % labels
    return np.where(random.permutation(len(expected)) < round(right * len(expected)), expected, wrong)


def judge(
    expected: Any, predicted: Any, neighbors: Any = None, labels: Sequence[str] = LABELS, split: str = "test"
) -> Verdict:
    """The verdict by the real metrics, baselines and intervals. The most frequent label of training is the first."""
    tuned = {"expected": expected, "predicted": predicted}
    guesses = [
        Guess("majority", "", "", {"expected": expected, "predicted": np.zeros_like(expected)}, answer=labels[0])
    ]
    if neighbors is not None:
        guesses.append(Guess("neighbors", "", "", {"expected": expected, "predicted": neighbors}))
    evaluation = Evaluation([], None, tuned, of_texts, baselines=guesses)
    metrics, baselines = measured(["accuracy", "macro_f1"], evaluation)
    facts = Measured(metrics, len(expected), split, baselines)
    return of_labels(facts, per_label(expected, predicted, labels), confusion(expected, predicted, labels))


def balanced(rows: int, labels: int = len(LABELS)) -> Any:
    return np.arange(rows) % labels


@pytest.mark.parametrize("rows", [58, 103, 200, 400])
@pytest.mark.parametrize("seed", range(4))
def test_a_model_of_shuffled_labels_is_never_better(rows: int, seed: int) -> None:
    """The figures of the report: accuracy 15.5% on eight labels, while the neighbors are right in 4%."""
    expected = balanced(rows)
    found = judge(expected, mixed(expected, 0.155, seed), mixed(expected, 0.04, seed + 50))
    assert found.outcome in ("useless", "unclear"), found.text
    assert found.text.startswith(("Not better than always saying “anger”.", "Too few rows to tell")), found.text
    assert "better:" not in found.text.lower()


@pytest.mark.slow
def test_labels_and_predictions_without_any_relation_are_hardly_ever_better() -> None:
    outcomes = []
    for seed in range(40):
        random = np.random.default_rng(seed)
        expected, predicted, guess = (random.integers(0, 3, 80) for _ in range(3))
        outcomes.append(judge(expected, predicted, guess, LABELS[:3]).outcome)
    assert outcomes.count("better") + outcomes.count("useful") <= 1, "chance is beaten with p < 0.005"


def test_a_model_that_beats_everything_is_better() -> None:
    expected = balanced(200)
    found = judge(expected, mixed(expected, 0.9, 1), mixed(expected, 0.5, 2))
    assert found.outcome == "better" and found.rows_needed is None
    title = "Clearly better than copying from similar rows (nearest neighbors) and than always the same answer."
    assert found.text.startswith(f"{title} 180 of 200")
    assert "Always saying “anger” labels 25 correctly. Copying from similar rows labels 100 correctly." in found.text
    assert "Random guesses (chance) label" in found.text and "gain over copying from similar rows is" in found.text


def test_a_useful_model_that_is_like_its_neighbors_is_said_to_be_useful_and_what_would_settle_it() -> None:
    expected = balanced(24, 3)
    found = judge(expected, mixed(expected, 0.92, 3, 3), mixed(expected, 0.83, 4, 3), LABELS[:3])
    assert found.outcome == "useful"
    title = "Better than always the same answer, but not clearly better than copying from similar rows"
    assert found.text.startswith(title)
    assert found.rows_needed and f"About {found.rows_needed:,} more labeled test rows would settle it" in found.text


def test_where_both_are_right_on_the_same_rows_it_is_no_dead_end() -> None:
    expected = balanced(23, 3)
    predicted = mixed(expected, 0.91, 3, 3)
    found = judge(expected, predicted, predicted, LABELS[:3])
    assert found.outcome == "useful" and "0 to 0" not in found.text
    assert found.rows_needed == 100, "six rows of 5% of them are 120"
    assert "About 100 more labeled test rows would show a difference of 5 percentage points." in found.text


def test_few_rows_and_a_visible_lead_are_unclear_and_not_useless() -> None:
    expected = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    found = judge(expected, np.array([0, 0, 0, 1, 0, 2, 0, 2]), labels=LABELS[:3])
    assert found.outcome == "unclear"
    assert found.text.startswith("Too few rows to tell this model from always saying “anger”.")
    assert found.rows_needed and "more labeled test rows would" in found.text


def test_fewer_rows_than_an_interval_needs_have_no_verdict() -> None:
    expected = balanced(5, 3)
    found = judge(expected, expected, labels=LABELS[:3])
    assert found.outcome == "unclear" and found.text.startswith("Too few rows for a verdict. 5 of 5 test rows")


def test_always_the_common_label_is_not_better_than_itself() -> None:
    expected = np.where(np.arange(200) < 180, 0, 1)
    found = judge(expected, np.zeros(200, dtype=int), labels=("ok", "bad"))
    assert found.outcome == "useless"
    assert found.text.startswith("Not better than always saying “ok”. 180 of 200 test rows are labeled correctly.")
    assert "More test rows would not help" in found.text and found.rows_needed is None


def test_a_rare_label_that_is_found_counts_in_macro_f1_and_is_said_so() -> None:
    expected = np.where(np.arange(200) < 180, 0, 1)
    predicted = expected.copy()
    predicted[170:180] = 1  # ten mistakes more
    predicted[192:] = 0
    found = judge(expected, predicted, labels=("ok", "bad"))
    assert found.outcome == "useful"
    assert found.text.startswith("Better than always saying “ok” in macro F1, but not clearly in accuracy.")


def test_worse_than_the_same_answer_is_said_before_anything_else() -> None:
    expected = np.where(np.arange(200) < 180, 0, 1)
    found = judge(expected, 1 - expected, expected, labels=("ok", "bad"))
    assert found.outcome == "worse" and found.text.startswith("Clearly worse than always saying “ok”.")


def test_worse_than_the_neighbors_is_said_of_a_model_that_has_learned_something() -> None:
    expected = balanced(200)
    found = judge(expected, mixed(expected, 0.5, 1), mixed(expected, 0.9, 2))
    title = "Clearly worse than copying from similar rows (nearest neighbors)."
    assert found.outcome == "worse" and found.text.startswith(title)


def test_without_neighbors_the_same_answer_and_chance_decide() -> None:
    expected = balanced(100)
    found = judge(expected, mixed(expected, 0.8, 1))
    assert found.outcome == "better" and found.text.startswith("Clearly better than always saying “anger”.")


def test_what_is_confused_most_counts_both_directions() -> None:
    expected = np.array([2] * 20 + [4] * 20 + [0] * 20)
    predicted = expected.copy()
    predicted[:5], predicted[20:23], predicted[40:44] = 4, 2, 1
    assert "“joy” and “sad” are confused most (8 times)." in judge(expected, predicted).text
    counts = confusion(expected, predicted, LABELS)
    assert confused_pairs(counts) == [("joy", "sad", 5), ("anger", "fear", 4), ("sad", "joy", 3)]


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("test", "23 test rows"),
        ("validation", "23 validation rows"),
        ("test+validation", "23 test and validation rows"),
        ("file", "23 rows of the file"),
    ],
)
def test_every_verdict_names_its_rows(split: str, words: str) -> None:
    expected = balanced(23, 3)
    assert f"of {words} are labeled" in judge(expected, expected, labels=LABELS[:3], split=split).text
    loss = Metric(base=3, tuned=2, gain_low=-1.5, gain_high=-0.5, higher_is_better=False)
    assert f"on {words}, the loss" in of_texts(Measured({"loss": loss}, 23, split)).text
    assert "held-out" not in words and rows_of_split(split, 1).startswith("1 ")


def test_a_report_names_its_rows() -> None:
    report = Report(rows=51, split="validation", metrics={}, verdict="")
    assert report.measured_on == "validation, 51 rows"
    assert report.model_copy(update={"split": "test", "rows": 1}).measured_on == "test, 1 row"


def ends(low: float, high: float) -> BaselineMetric:
    return BaselineMetric(value=0, gain_low=low, gain_high=high)


@pytest.mark.parametrize(
    ("gain", "low", "high", "rows", "expected"),
    [
        (0.1, -0.1, 0.3, 50, 150),  # twice the width of the gain: four times the rows
        (0.1, 0.0, 0.2, 50, 10),  # the interval touches zero
        (0.0, 0.0, 0.0, 23, 100),
        (0.0, -0.04, 0.04, 200, 0),  # so narrow that nothing that matters is left
        (0.04, -0.005, 0.085, 200, 60),  # narrow, but it ends beyond what matters: until it leaves out zero
        (0.01, -0.035, 0.055, 200, 60),  # until it leaves out what matters
        (-0.04, -0.085, 0.005, 200, 60),
        (-0.1, -0.3, 0.1, 50, 150),
        (0.0, -0.5, 0.5, 400, None),  # more rows than anybody labels
    ],
)
def test_rows_that_would_settle_it_follow_from_the_width(
    gain: float, low: float, high: float, rows: int, expected: int | None
) -> None:
    assert rows_to_settle(gain, ends(low, high), rows, 0.05) == expected


def test_a_model_that_diverged_is_worse() -> None:
    """Its outputs are NaN, and a comparison with NaN is false."""
    base = {"loss": np.linspace(1, 2, 20), "tokens": np.ones(20)}
    metrics, _ = measured(["loss"], Evaluation([], base, {**base, "loss": np.full(20, np.nan)}, of_texts))
    found = of_texts(Measured(metrics, 20))
    assert found.outcome == "worse" and found.text.startswith("Clearly worse:"), found.text
    scores = {"score": np.linspace(1, 5, 20), "guess": np.full(20, np.nan)}
    guesses = [Guess("mean", "", "", {"score": scores["score"], "guess": np.full(20, 3.0)}, "3")]
    metrics, baselines = measured(["pearson", "mse"], Evaluation([], None, scores, of_correlation, baselines=guesses))
    assert of_correlation(Measured(metrics, 20, "test", baselines)).outcome == "worse"


def test_without_an_interval_no_number_of_rows_is_proposed() -> None:
    assert rows_to_settle(0.1, BaselineMetric(value=0), 4, 0.05) is None


def test_a_difference_is_called_unlikely_only_if_its_interval_leaves_it_out() -> None:
    assert settle(0.01, ends(-0.02, 0.04), 400)[0] == "A difference of more than 5 percentage points is unlikely."
    text, rows = settle(0.04, ends(-0.005, 0.085), 200)
    assert rows == 60 and text.endswith("would settle it, if the difference stays the same.")
    assert "would show a difference of 5" in settle(0.01, ends(-0.09, 0.11), 100)[0]
    assert "would show a difference of 5" in settle(0.0, ends(0.0, 0.0), 23)[0]


def f1_against(low: float, high: float) -> Verdict:
    baseline = Baseline(
        name="sentence",
        title="",
        detail="",
        metrics={"f1": BaselineMetric(value=0.4, gain_low=low, gain_high=high)},
    )
    f1 = Metric(base=None, tuned=0.5, as_share=True)
    return of_score(Measured({"f1": f1}, 40, "test", [baseline]), "f1", "F1", True)


def test_extracted_answers_are_compared_with_the_most_similar_sentence() -> None:
    assert f1_against(0.05, 0.2).text.startswith("Clearly better than taking the most similar sentence. On 40 test")
    assert f1_against(-0.1, 0.3).outcome == "same" and f1_against(-0.3, -0.1).outcome == "worse"
    assert f1_against(-0.1, 0.3).rows_needed


def scores(noise: float, seed: int = 0) -> Verdict:
    random = np.random.default_rng(seed)
    score = random.normal(3, 1, 60)
    tuned = {"score": score, "guess": score * (noise < 5) + random.normal(0, noise, 60)}
    mean = Guess("mean", "", "", {"score": score, "guess": np.full(60, 3.0)}, "3")
    metrics, baselines = measured(["pearson", "mse"], Evaluation([], None, tuned, of_texts, baselines=[mean]))
    return of_correlation(Measured(metrics, 60, "test", baselines))


@pytest.mark.slow
def test_scores_are_compared_with_the_mean_score() -> None:
    assert scores(0.3).outcome == "better" and "On 60 test rows, the correlation" in scores(0.3).text
    assert scores(9).outcome in ("useless", "worse")


def test_the_correlation_of_a_constant_answer_is_exactly_zero() -> None:
    score = np.random.default_rng(0).normal(3, 1, 60)
    mean = Guess("mean", "", "", {"score": score, "guess": np.full(60, 3.0)}, "3")
    tuned = {"score": score, "guess": score + 0.1}
    _, baselines = measured(["pearson"], Evaluation([], None, tuned, of_texts, baselines=[mean]))
    pearson = baselines[0].metrics["pearson"]
    assert (pearson.value, pearson.low, pearson.high) == (0.0, 0.0, 0.0), "it is no share of rows that were right"


def test_a_gain_that_rounds_to_zero_has_no_sign() -> None:
    loss = Metric(base=2.0, tuned=1.9, gain_low=-0.3, gain_high=0.0, higher_is_better=False)
    assert "gain is 0.00 to 0.30." in of_texts(Measured({"loss": loss}, 40)).text
    f1 = Metric(base=0.5, tuned=0.6, gain_low=-0.0002, gain_high=0.2, as_share=True)
    assert "gain is 0.0 to 20.0." in of_score(Measured({"f1": f1}, 40), "f1", "F1", True).text


def test_two_notes_about_the_rows_are_two_sentences() -> None:
    assert _note(2, 3, 4).endswith("is left. Of 3 long texts, only 4 pieces each were evaluated.")
    assert _note(0, 0, 4) == ""


def test_a_model_that_is_clearly_worse_in_accuracy_is_told_so_and_more_rows_are_not_asked_for() -> None:
    expected = np.array([0] * 1800 + [1] * 200)
    predicted = np.array([1] * 300 + [0] * 1500 + [1] * 180 + [0] * 20)
    found = judge(expected, predicted, labels=("ok", "bad"))
    assert found.text.startswith("Better than always saying “ok” in macro F1, but clearly worse in accuracy.")
    assert found.rows_needed is None and "more labeled test rows" not in found.text


@pytest.mark.parametrize(
    ("low", "high", "decimals", "ends"),
    [
        (0.0008, 0.0016, 2, ("0.001", "0.002")),
        (0.3, 3.2, 0, ("0.3", "3.2")),
        (-8.4, -3.9, 0, ("-8", "-4")),
        (0.0, 2.0, 0, ("0", "2")),
        (0.23, 0.41, 2, ("0.23", "0.41")),
    ],
)
def test_the_end_of_an_interval_is_zero_only_if_it_is(low: float, high: float, decimals: int, ends: Any) -> None:
    assert interval(low, high, decimals) == ends
