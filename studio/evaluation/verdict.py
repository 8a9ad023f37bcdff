"""The metrics in one or two sentences. A difference is reported only if chance is an unlikely cause."""

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
"""A label with a lower recall than this is reported as the weak spot."""


def judgment(metric: Metric) -> str:
    """Return `better` or `worse` if the interval of the paired difference excludes zero; else `same`, `few` or `alone`.

    `few`: too few rows for an interval. `alone`: there is no base result.
    """
    if metric.base is None:
        return "alone"
    if metric.gain_low is None or metric.gain_high is None:
        return "few"
    if metric.gain_low <= 0 <= metric.gain_high:
        return "same"
    return "better" if (metric.gain_low > 0) == metric.higher_is_better else "worse"


def of_texts(metrics: Mapping[str, Metric], rows: int) -> str:
    """Describe the loss of the correct replies."""
    loss = metrics["loss"]
    text = f"{OPENING[judgment(loss)]}on {rows:,} rows kept apart the right replies have a loss of "
    text += _loss(loss.tuned)
    text += "." if loss.base is None else f"; with the base it is {_loss(loss.base)}."
    if loss.gain_low is not None and loss.gain_high is not None:
        text += f" The true gain lies between {-loss.gain_high:.2f} and {-loss.gain_low:.2f} (95 % interval)."
    return text


def _loss(value: float) -> str:
    """Return `5.16` or `0.0038`: a small loss is not rounded to zero."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def of_labels(metrics: Mapping[str, Metric], rows: int, per_label: Mapping[str, Mapping[str, float]]) -> str:
    """Describe the accuracy, and name the label with the lowest recall."""
    accuracy = metrics["accuracy"]
    text = f"{OPENING[judgment(accuracy)]}{_count(accuracy.tuned, rows)} of {rows:,} rows kept apart are labelled right"
    text += "." if accuracy.base is None else f"; the base's guess has {_count(accuracy.base, rows)}."
    text += _gain_in_points(accuracy)
    present = {label: values for label, values in per_label.items() if values["rows"]}
    weakest = min(present, key=lambda label: present[label]["recall"], default="")
    if len(present) > 1 and present[weakest]["recall"] < WEAK:
        times = int(present[weakest]["rows"])
        text += f" Weak spot: {weakest} is found {_count(present[weakest]['recall'], times)} of {times:,} times."
    return text


def of_score(metrics: Mapping[str, Metric], rows: int, name: str, title: str, as_share: bool) -> str:
    """Describe a text metric."""
    metric, times = metrics[name], 100 if as_share else 1
    text = f"{OPENING[judgment(metric)]}on {rows:,} rows kept apart {title} is {metric.tuned * times:.1f}"
    text += "." if metric.base is None else f" of 100; with the base it is {metric.base * times:.1f}."
    if metric.gain_low is not None and metric.gain_high is not None:
        low, high = metric.gain_low * times, metric.gain_high * times
        text += f" The true gain lies between {low:.1f} and {high:.1f} (95 % interval)."
    return text


def of_correlation(metrics: Mapping[str, Metric], rows: int) -> str:
    """Describe the correlation of scores."""
    metric, error = metrics["pearson"], metrics["mse"]
    text = f"{OPENING[judgment(metric)]}on {rows:,} rows kept apart its scores go with the right ones at "
    text += f"{metric.tuned:.2f} (1 is perfect), {error.tuned**0.5:.2g} away as a rule"
    return text + ("." if metric.base is None else f"; the base's guess goes with them at {metric.base:.2f}.")


def of_share(metrics: Mapping[str, Metric], rows: int, name: str, words: str) -> str:
    """Describe in what share of the rows a model is right."""
    metric = metrics[name]
    text = f"{OPENING[judgment(metric)]}of {rows:,} {words} {metric.tuned:.0%}"
    text += "." if metric.base is None else f"; the base in {metric.base:.0%}."
    return text + _gain_in_points(metric)


def _gain_in_points(metric: Metric) -> str:
    if metric.gain_low is None or metric.gain_high is None:
        return ""
    low, high = metric.gain_low * 100, metric.gain_high * 100
    return f" The true gain lies between {low:.0f} and {high:.0f} points (95 % interval)."


def _count(share: float, rows: int) -> str:
    return f"{round(share * rows):,}"
