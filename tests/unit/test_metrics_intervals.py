"""Intervals: they hold the truth as often as they say, and the verdict follows them."""

import numpy as np
import pytest

from studio.evaluation.verdict import Measured, judgment, of_labels, of_texts
from studio.metrics.intervals import FEWEST, interval, paired_difference
from studio.schema.report import Baseline, BaselineMetric, Metric


def mean(observed: object) -> float:
    return float(observed["value"].mean())  # type: ignore[index]


def test_an_interval_holds_the_true_mean_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    held = 0
    for trial in range(200):
        found = interval(mean, {"value": random.normal(5, 2, 60)}, seed=trial, resamples=300)
        assert found is not None
        held += found.low <= 5 <= found.high
    assert 178 <= held <= 199, f"{held} of 200"


@pytest.mark.slow
def test_of_few_rows_chance_is_no_oftener_called_a_gain_than_it_says() -> None:
    random = np.random.default_rng(5)
    none, called = {"value": np.zeros(6)}, 0
    for trial in range(300):
        found = paired_difference(mean, none, {"value": random.normal(0, 1, 6)}, seed=trial, resamples=500)
        assert found is not None
        called += not found.low <= 0 <= found.high
    assert called <= 24, f"{called} of 300: 15 is what 95 of 100 allows"


@pytest.mark.parametrize(("rows", "better", "clear"), [(6, 3, False), (200, 5, False), (200, 8, True), (6, 6, True)])
def test_a_handful_of_rows_that_went_one_way_is_no_clear_gain(rows: int, better: int, clear: bool) -> None:
    """As the exact sign test has it: of five rows all go one way by chance once in sixteen times."""
    tuned = {"value": (np.arange(rows) < better).astype(float)}
    found = paired_difference(mean, {"value": np.zeros(rows)}, tuned)
    assert found is not None and (found.low > 0) == clear and found.high > 0


def test_more_rows_make_an_interval_narrower() -> None:
    random = np.random.default_rng(2)
    few, many = (interval(mean, {"value": random.normal(0, 1, rows)}) for rows in (20, 2000))
    assert few is not None and many is not None
    assert many.high - many.low < (few.high - few.low) / 5


def test_a_small_gain_on_every_row_is_found_though_the_rows_differ_much() -> None:
    base = {"value": np.random.default_rng(3).normal(0, 10, 30)}
    tuned = {"value": base["value"] + 0.5}
    paired = paired_difference(mean, base, tuned)
    assert paired is not None and paired.low == pytest.approx(0.5) == paired.high
    alone = interval(mean, base)
    assert alone is not None and alone.high - alone.low > 3, "without pairing the gain would drown"


def test_a_difference_by_chance_holds_zero() -> None:
    random = np.random.default_rng(4)
    found = paired_difference(mean, {"value": random.normal(0, 1, 40)}, {"value": random.normal(0, 1, 40)})
    assert found is not None and found.low < 0 < found.high


def test_too_few_rows_have_no_interval() -> None:
    assert interval(mean, {"value": np.ones(FEWEST - 1)}) is None
    assert interval(mean, {"value": np.ones(FEWEST)}) is not None


def test_the_same_seed_gives_the_same_interval() -> None:
    observed = {"value": np.arange(30.0)}
    assert interval(mean, observed, seed=5) == interval(mean, observed, seed=5) != interval(mean, observed, seed=6)


def test_unequal_rows_can_not_be_paired() -> None:
    with pytest.raises(ValueError, match="same rows"):
        paired_difference(mean, {"value": np.ones(8)}, {"value": np.ones(9)})


def loss(base: float | None, tuned: float, low: float | None, high: float | None) -> Metric:
    return Metric(base=base, tuned=tuned, gain_low=low, gain_high=high, higher_is_better=False)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (loss(3, 2, -1.5, -0.5), "better"),
        (loss(2, 3, 0.5, 1.5), "worse"),
        (loss(3, 2.9, -0.5, 0.3), "same"),
        (loss(3, 2, None, None), "few"),
        (loss(None, 2, None, None), "alone"),
        (Metric(base=0.5, tuned=0.9, gain_low=0.2, gain_high=0.5), "better"),
        (Metric(base=0.9, tuned=0.5, gain_low=-0.5, gain_high=-0.2), "worse"),
        (Metric(base=0.9, tuned=0.9, gain_low=0.0, gain_high=0.1), "same"),
    ],
)
def test_better_is_said_only_when_the_interval_leaves_out_zero(metric: Metric, expected: str) -> None:
    assert judgment(metric) == expected


def test_the_verdict_on_texts_tells_the_gain() -> None:
    said = of_texts(Measured({"loss": loss(3, 2, -1.5, -0.5)}, 40)).text
    assert said.startswith("Clearly better: on 40 test rows")
    assert "The 95% confidence interval of the gain is 0.50 to 1.50" in said


def test_the_verdict_on_labels_counts_rows_and_names_the_weak_spot() -> None:
    per_label = {
        "good": {"recall": 0.95, "rows": 60},
        "bad": {"recall": 0.5, "rows": 40},
        "never": {"recall": 0.0, "rows": 0},
    }
    majority = Baseline(
        name="majority",
        title="",
        detail="",
        answer="good",
        metrics={"accuracy": BaselineMetric(value=0.5, gain_low=0.1, gain_high=0.4)},
    )
    measured = Measured({"accuracy": Metric(base=None, tuned=0.77, as_share=True)}, 100, "test", [majority])
    said = of_labels(measured, per_label).text
    assert said.startswith("Clearly better than always saying “good”. 77 of 100 test rows are labeled correctly.")
    assert "Always saying “good” labels 50 correctly." in said and "10 to 40 percentage points" in said
    assert said.endswith("The label “bad” has the lowest recall: 20 of 40 rows.")


@pytest.mark.parametrize(("right", "low", "high"), [(1.0, 0.92, 1.0), (0.0, 0.0, 0.08)])
def test_when_all_rows_are_right_or_wrong_few_rows_still_leave_much_open(right: float, low: float, high: float) -> None:
    found = interval(mean, {"value": np.full(44, right)})
    assert found is not None and (round(found.low, 2), round(found.high, 2)) == (low, high)
