"""Baselines: answers without the fine-tuned model, measured on the same rows. A useful model is better than each.

They replace a comparison with the base model where that can't do the task, as a model without a head for labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.inference.base_and_tuned import ModelPair
from studio.inference.classify import format_score, targets_of, training_rows
from studio.metrics import METRICS, Observations
from studio.metrics.intervals import FEWEST, difference_of, interval_of, resampled, rows_in
from studio.schema.report import Baseline, BaselineMetric

PERMUTATIONS = 1000
TAIL = 0.005
"""Fraction of random results above the upper end for chance, and below the lower one."""
PREDICTIONS = ("predicted", "guess")
"""Names of observations that a model made."""


@dataclass(frozen=True)
class Guess:
    """The answers of a baseline to the rows."""

    name: str
    title: str
    detail: str
    observed: Observations
    answer: str = ""
    """What it always answers, if that is the same for all rows."""


def majority(pair: ModelPair, expected: Any) -> Guess:
    """Return the most frequent training label as the answer to each row.

    `expected` are the class numbers of the rows, or rows × labels with 0 and 1. Without training rows, it is the most
    frequent label of these rows, which is harder to beat.
    """
    import numpy as np

    is_multilabel = expected.ndim > 1
    labels = expected if is_multilabel else np.eye(len(pair.labels))[expected]
    from_training = pair.run.learned_from is not None
    counts = targets_of(pair, training_rows(pair), pair.run.spec.data.roles).sum(0) if from_training else labels.sum(0)
    number = int(counts.argmax())
    predicted = np.tile(np.eye(len(pair.labels), dtype=int)[number], (len(expected), 1))
    detail = (
        "Always the most frequent training label." if from_training else "Always the most frequent label of these rows."
    )
    observed = {"expected": expected, "predicted": predicted if is_multilabel else predicted.argmax(1)}
    return Guess("majority", "Most frequent label · majority class", detail, observed, pair.labels[number])


def mean_score(pair: ModelPair, scores: Any) -> Guess:
    """Return the mean training score as the answer to each row. Without training rows, the mean of these rows."""
    import numpy as np

    from_training = pair.run.learned_from is not None
    known = targets_of(pair, training_rows(pair), pair.run.spec.data.roles) if from_training else scores
    mean = float(known.mean())
    detail = "Always the mean score of the training rows." if from_training else "Always the mean score of these rows."
    return Guess(
        "mean", "Mean score", detail, {"score": scores, "guess": np.full(len(scores), mean)}, format_score(mean)
    )


def compare(
    guesses: Sequence[Guess], tuned: Observations, names: Sequence[str], resamples: Mapping[str, list[float]], seed: int
) -> tuple[Baseline, ...]:
    """Return the baselines with their metrics and the gain of the fine-tuned model over them.

    `resamples` are those of the fine-tuned model, by metric. If there are guesses, chance is added.
    """
    compared = [_baseline(guess, tuned, names, resamples, seed) for guess in guesses]
    by_chance = chance(tuned, names, seed) if guesses else None
    return tuple([*compared, by_chance] if by_chance else compared)


def _baseline(
    guess: Guess, tuned: Observations, names: Sequence[str], resamples: Mapping[str, list[float]], seed: int
) -> Baseline:
    metrics = {}
    for name in names:
        info = METRICS[name]
        if not set(info.needs) <= set(guess.observed):
            continue
        values = resampled(info.compute, guess.observed, seed)
        ends = interval_of(values, tuned, info.as_share)
        gain = difference_of(values, resamples[name], guess.observed, tuned)
        metrics[name] = BaselineMetric(
            value=info.compute(guess.observed),
            low=ends and ends.low,
            high=ends and ends.high,
            gain_low=gain and gain.low,
            gain_high=gain and gain.high,
        )
    return Baseline(name=guess.name, title=guess.title, detail=guess.detail, answer=guess.answer, metrics=metrics)


def chance(tuned: Observations, names: Sequence[str], seed: int) -> Baseline | None:
    """Return what the fine-tuned model's own predictions reach when they are shuffled over the rows.

    This is a permutation test: Ojala and Garriga (2010), Permutation Tests for Studying Classifier Performance, JMLR
    11, 1833-1863; scikit-learn has it as `permutation_test_score`. The ends hold 99% of the random results, so a model
    above the upper one is better than chance with p < 0.005. None for too few rows, or without predictions to shuffle.
    """
    import numpy as np

    predictions = {name: values for name, values in tuned.items() if name in PREDICTIONS}
    rows = rows_in(tuned)
    if not predictions or rows < FEWEST:
        return None
    random = np.random.default_rng(seed)
    orders = [random.permutation(rows) for _ in range(PERMUTATIONS)]
    metrics = {}
    for name in names:
        info = METRICS[name]
        if not set(info.needs) & set(predictions):
            continue
        values = [
            info.compute({**tuned, **{key: made[order] for key, made in predictions.items()}}) for order in orders
        ]
        low, high = (float(each) for each in np.quantile(values, [TAIL, 1 - TAIL]))
        reached = info.compute(tuned)
        metrics[name] = BaselineMetric(
            value=float(np.mean(values)), low=low, high=high, gain_low=reached - high, gain_high=reached - low
        )
    detail = "What luck alone reaches: the fine-tuned model's own predictions, shuffled over the rows."
    return Baseline(name="chance", title="Random guesses · chance", detail=detail, metrics=metrics)
