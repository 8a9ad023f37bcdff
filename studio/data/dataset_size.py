"""What a number of rows allows, in one sentence: for a training plan, and for a learning curve."""

from collections.abc import Mapping
from itertools import pairwise
from math import log, sqrt

from studio.schema.label_quality import LearningCurve
from studio.schema.numbers import plural
from studio.schema.numbers import rows as rows_words

FEW_A_LABEL, MANY_A_LABEL = 8, 50
FEW, SOME, MANY = 50, 300, 2_000
"""Thresholds for rows with replies: below FEW they teach a tone; below SOME also a form; below MANY recurring facts."""
WORTH = 0.01
"""Minimum gain in accuracy that makes more rows worthwhile."""


def what_rows_allow(rows: int, labels: Mapping[str, int] | None = None) -> str:
    """Describe what to expect of all `rows` usable rows of a dataset. `labels` is label → rows."""
    if labels:
        label = min(labels, key=lambda label: labels[label])
        allowed = _of_labels(rows_words(rows), len(labels), sorted(labels.values())[len(labels) // 2])
        return " ".join([allowed, f"The rarest label is {label}, with {rows_words(labels[label])}."])
    return _of_replies(rows_words(rows), rows)


def what_training_rows_allow(rows: int, kinds: int = 0) -> str:
    """Describe what to expect of `rows` rows in the train split. `kinds`: the number of labels."""
    amount = plural(rows, "{n} training row", "{n} training rows")
    return _of_labels(amount, kinds, rows // kinds) if kinds else _of_replies(amount, rows)


def _of_replies(amount: str, rows: int) -> str:
    """`amount`: the number of rows in words."""
    if rows < FEW:
        return f"{amount} can teach a tone, but no new knowledge. A hundred more rows would help most."
    if rows < SOME:
        return f"{amount} teach a tone and a format well. The model does not learn facts that appear only once."
    if rows < MANY:
        return f"{amount} teach tone, format and facts that appear several times. Rare cases stay uncertain."
    return f"{amount} are plenty. Better rows now help more than additional rows."


def _of_labels(amount: str, kinds: int, each: int) -> str:
    """`amount`: the number of rows in words. `each`: the usual number of rows of a label."""
    labels = plural(kinds, "{n} label", "{n} labels")
    if each < FEW_A_LABEL:
        return f"{amount} for {labels}, about {each} for each: enough for a try, too few for reliable results."
    if each < MANY_A_LABEL:
        return (
            f"{amount} for {labels}, about {each} for each: the model learns labels with clearly different texts well. "
            "It confuses similar ones."
        )
    return f"{amount} for {labels}, about {each} for each: enough for most labels."


def describe_learning_curve(curve: LearningCurve) -> str:
    """Describe the learning curve: the score, and whether more rows would help."""
    last = curve.points[-1]
    standard_error = sqrt(max(last.score * (1 - last.score), 0.01) / max(1, curve.held))
    score, margin = _percent(last.score), _percent(1.96 * standard_error)
    held_out = plural(curve.held, "{n} held-out row", "{n} held-out rows")
    sentence = (
        f"With all {rows_words(last.rows)}, a small classifier gets {score} right (± {margin}), measured on {held_out}."
    )
    if len(curve.points) < 3:
        return sentence + " There are too few rows for a longer curve."
    more = _gain_of_doubling(curve)
    half = curve.points[-2]
    gained = _points(last.score - half.score)
    sentence += f" From {half.rows:,} to {last.rows:,} rows, it gained {gained}."
    if more >= max(WORTH, standard_error / 2):
        return sentence + f" Twice as many rows would add about {_points(more)}."
    return sentence + " Twice as many rows would add little. Better rows or a larger model would help more."


def _gain_of_doubling(curve: LearningCurve) -> float:
    """Return the expected gain in score of twice as many rows, if the error falls as a power of the number of rows."""
    tail = [(log(point.rows), log(max(1 - point.score, 1e-3))) for point in curve.points[-4:]]
    slopes = [(low[1] - high[1]) / (high[0] - low[0]) for low, high in pairwise(tail)]
    exponent = max(0.0, sum(slopes) / len(slopes))
    error = 1 - curve.points[-1].score
    return error * (1 - 2**-exponent)


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.01 else f"{100 * share:.1f}%"


def _points(share: float) -> str:
    return plural(round(100 * share), "{n} point", "{n} points") if abs(share) >= 0.005 else "less than a point"
