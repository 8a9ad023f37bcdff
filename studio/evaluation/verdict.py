"""The metrics in one or two sentences. A difference is reported only if chance is an unlikely cause."""

from collections.abc import Mapping

from studio.schema.report import Metric

OPENING = {
    "better": "Clearly better: ",
    "worse": "Clearly worse: ",
    "same": "No clear difference: ",
    "few": "Too few rows for a verdict: ",
    "alone": "",
}
WEAK = 0.9
"""A label with a lower recall than this is reported, if it is the lowest."""


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
    text = f"{OPENING[judgment(loss)]}on {rows:,} held-out rows, the loss of the correct replies is "
    text += _loss(loss.tuned)
    text += "." if loss.base is None else f" (base model: {_loss(loss.base)})."
    if loss.gain_low is not None and loss.gain_high is not None:
        text += f" The 95% confidence interval of the gain is {-loss.gain_high:.2f} to {-loss.gain_low:.2f}."
    return text


def _loss(value: float) -> str:
    """Return `5.16` or `0.0038`: a small loss is not rounded to zero."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def of_labels(metrics: Mapping[str, Metric], rows: int, per_label: Mapping[str, Mapping[str, float]]) -> str:
    """Describe the accuracy, and name the label with the lowest recall."""
    accuracy = metrics["accuracy"]
    text = (
        f"{OPENING[judgment(accuracy)]}{_count(accuracy.tuned, rows)} of {rows:,} held-out rows are labeled correctly"
    )
    text += "." if accuracy.base is None else f" (base model's guess: {_count(accuracy.base, rows)})."
    text += _gain_in_points(accuracy)
    present = {label: values for label, values in per_label.items() if values["rows"]}
    weakest = min(present, key=lambda label: present[label]["recall"], default="")
    if len(present) > 1 and present[weakest]["recall"] < WEAK:
        times = int(present[weakest]["rows"])
        correct = _count(present[weakest]["recall"], times)
        text += f" The label {weakest} has the lowest recall: {correct} of {times:,} rows."
    return text


def of_score(metrics: Mapping[str, Metric], rows: int, name: str, title: str, as_share: bool) -> str:
    """Describe a text metric."""
    metric, times = metrics[name], 100 if as_share else 1
    text = f"{OPENING[judgment(metric)]}on {rows:,} held-out rows, {title} is {metric.tuned * times:.1f}"
    text += "." if metric.base is None else f" of 100 (base model: {metric.base * times:.1f})."
    if metric.gain_low is not None and metric.gain_high is not None:
        low, high = metric.gain_low * times, metric.gain_high * times
        text += f" The 95% confidence interval of the gain is {low:.1f} to {high:.1f}."
    return text


def of_correlation(metrics: Mapping[str, Metric], rows: int) -> str:
    """Describe the correlation of scores."""
    metric, error = metrics["pearson"], metrics["mse"]
    text = f"{OPENING[judgment(metric)]}on {rows:,} held-out rows, the correlation with the correct scores is "
    text += f"{metric.tuned:.2f} (1 is perfect) and the typical error {error.tuned**0.5:.2g}"
    return text + ("." if metric.base is None else f" (correlation of the base model's guess: {metric.base:.2f}).")


def of_share(metrics: Mapping[str, Metric], rows: int, name: str, words: str) -> str:
    """Describe in what share of the rows a model is right."""
    metric = metrics[name]
    text = f"{OPENING[judgment(metric)]}of {rows:,} {words} {metric.tuned:.0%}"
    text += "." if metric.base is None else f" (base model: {metric.base:.0%})."
    return text + _gain_in_points(metric)


def _gain_in_points(metric: Metric) -> str:
    if metric.gain_low is None or metric.gain_high is None:
        return ""
    low, high = metric.gain_low * 100, metric.gain_high * 100
    return f" The 95% confidence interval of the gain is {low:.0f} to {high:.0f} percentage points."


def _count(share: float, rows: int) -> str:
    return f"{round(share * rows):,}"
