"""What the numbers mean, in a sentence or two. Better is said only where chance is an unlikely reason."""

from collections.abc import Mapping

from studio.schema.report import Metric

OPENING = {
    "better": "Better, and clearly so: ",
    "worse": "Worse, and clearly so: ",
    "same": "No clear difference: ",
    "few": "Too few rows for a verdict: ",
    "alone": "",
}
WEAK = 0.9
"""A label that is found less often than this is named as the weak spot."""


def judgement(metric: Metric) -> str:
    """`better` or `worse` where the interval of the paired difference excludes zero; else `same`, `few` or `alone`."""
    if metric.base is None:
        return "alone"
    if metric.gain_low is None or metric.gain_high is None:
        return "few"
    if metric.gain_low <= 0 <= metric.gain_high:
        return "same"
    return "better" if (metric.gain_low > 0) == metric.higher_is_better else "worse"


def of_texts(metrics: Mapping[str, Metric], rows: int) -> str:
    """How much less the right replies surprise the tuned model."""
    loss = metrics["loss"]
    said = f"{OPENING[judgement(loss)]}on {rows:,} rows kept apart the right replies have a loss of "
    said += _loss(loss.tuned)
    said += "." if loss.base is None else f"; with the base it is {_loss(loss.base)}."
    if loss.gain_low is not None and loss.gain_high is not None:
        said += f" The true gain lies between {-loss.gain_high:.2f} and {-loss.gain_low:.2f} (95 % interval)."
    return said


def _loss(value: float) -> str:
    """`5.16`, `0.0038`: a small loss is not said to be none."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def of_labels(metrics: Mapping[str, Metric], rows: int, per_label: Mapping[str, Mapping[str, float]]) -> str:
    """How many rows are labelled right, and which label is found least."""
    accuracy = metrics["accuracy"]
    said = (
        f"{OPENING[judgement(accuracy)]}{_count(accuracy.tuned, rows)} of {rows:,} rows kept apart are labelled right"
    )
    said += "." if accuracy.base is None else f"; the base's guess has {_count(accuracy.base, rows)}."
    if accuracy.gain_low is not None and accuracy.gain_high is not None:
        low, high = accuracy.gain_low * 100, accuracy.gain_high * 100
        said += f" The true gain lies between {low:.0f} and {high:.0f} points (95 % interval)."
    present = {label: values for label, values in per_label.items() if values["rows"]}
    weakest = min(present, key=lambda label: present[label]["recall"], default="")
    if len(present) > 1 and present[weakest]["recall"] < WEAK:
        times = int(present[weakest]["rows"])
        said += f" Weak spot: {weakest} is found {_count(present[weakest]['recall'], times)} of {times:,} times."
    return said


def of_score(metrics: Mapping[str, Metric], rows: int, name: str, title: str, as_share: bool) -> str:
    """How near what is written comes to what people wrote."""
    metric, times = metrics[name], 100 if as_share else 1
    said = f"{OPENING[judgement(metric)]}on {rows:,} rows kept apart {title} is {metric.tuned * times:.1f}"
    said += "." if metric.base is None else f" of 100; with the base it is {metric.base * times:.1f}."
    if metric.gain_low is not None and metric.gain_high is not None:
        low, high = metric.gain_low * times, metric.gain_high * times
        said += f" The true gain lies between {low:.1f} and {high:.1f} (95 % interval)."
    return said


def of_correlation(metrics: Mapping[str, Metric], rows: int) -> str:
    """How well scores go with the right ones."""
    metric, error = metrics["pearson"], metrics["mse"]
    said = f"{OPENING[judgement(metric)]}on {rows:,} rows kept apart its scores go with the right ones at "
    said += f"{metric.tuned:.2f} (1 is perfect), {error.tuned**0.5:.2g} away as a rule"
    return said + ("." if metric.base is None else f"; the base's guess goes with them at {metric.base:.2f}.")


def of_share(metrics: Mapping[str, Metric], rows: int, name: str, words: str) -> str:
    """In how many of the rows a model does what it should."""
    metric = metrics[name]
    said = f"{OPENING[judgement(metric)]}of {rows:,} {words} {metric.tuned:.0%}"
    said += "." if metric.base is None else f"; the base in {metric.base:.0%}."
    if metric.gain_low is not None and metric.gain_high is not None:
        low, high = metric.gain_low * 100, metric.gain_high * 100
        said += f" The true gain lies between {low:.0f} and {high:.0f} points (95 % interval)."
    return said


def _count(share: float, rows: int) -> str:
    return f"{round(share * rows):,}"
