"""The metrics in one or two sentences. A difference is reported only if chance is an unlikely cause."""

from collections.abc import Mapping

from studio.schema.report import Metric

OPENING = {
    "better": "Clearly better:",
    "worse": "Clearly worse:",
    "same": "No clear difference:",
    "few": "Too few rows for a verdict:",
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
    tuned = _loss(loss.tuned)
    if loss.base is None:
        return f"on {rows:,} held-out rows, the loss of the correct replies is {tuned}."
    opening, base = OPENING[judgment(loss)], _loss(loss.base)
    text = f"{opening} on {rows:,} held-out rows, the loss of the correct replies is {tuned} (base model: {base})."
    if loss.gain_low is not None and loss.gain_high is not None:
        low, high = -loss.gain_high, -loss.gain_low
        text += f" The 95% confidence interval of the gain is {low:.2f} to {high:.2f}."
    return text


def _loss(value: float) -> str:
    """Return `5.16` or `0.0038`: a small loss is not rounded to zero."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def of_labels(metrics: Mapping[str, Metric], rows: int, per_label: Mapping[str, Mapping[str, float]]) -> str:
    """Describe the accuracy, and name the label with the lowest recall."""
    accuracy = metrics["accuracy"]
    tuned = _count(accuracy.tuned, rows)
    if accuracy.base is None:
        text = f"{tuned} of {rows:,} held-out rows are labeled correctly."
    else:
        opening, base = OPENING[judgment(accuracy)], _count(accuracy.base, rows)
        text = f"{opening} {tuned} of {rows:,} held-out rows are labeled correctly (base model's guess: {base})."
    text += _gain_in_points(accuracy)
    present = {label: values for label, values in per_label.items() if values["rows"]}
    label = min(present, key=lambda label: present[label]["recall"], default="")
    if len(present) > 1 and present[label]["recall"] < WEAK:
        times = int(present[label]["rows"])
        correct = _count(present[label]["recall"], times)
        text += f" The label {label} has the lowest recall: {correct} of {times:,} rows."
    return text


def of_score(metrics: Mapping[str, Metric], rows: int, name: str, title: str, as_share: bool) -> str:
    """Describe a text metric."""
    metric, times = metrics[name], 100 if as_share else 1
    tuned = metric.tuned * times
    if metric.base is None:
        return f"on {rows:,} held-out rows, {title} is {tuned:.1f}."
    opening, base = OPENING[judgment(metric)], metric.base * times
    text = f"{opening} on {rows:,} held-out rows, {title} is {tuned:.1f} of 100 (base model: {base:.1f})."
    if metric.gain_low is not None and metric.gain_high is not None:
        low, high = metric.gain_low * times, metric.gain_high * times
        text += f" The 95% confidence interval of the gain is {low:.1f} to {high:.1f}."
    return text


def of_correlation(metrics: Mapping[str, Metric], rows: int) -> str:
    """Describe the correlation of scores."""
    metric, error = metrics["pearson"], metrics["mse"].tuned ** 0.5
    if metric.base is None:
        return (
            f"on {rows:,} held-out rows, the correlation with the correct scores is {metric.tuned:.2f} (1 is perfect) "
            f"and the typical error {error:.2g}."
        )
    opening, base = OPENING[judgment(metric)], metric.base
    return (
        f"{opening} on {rows:,} held-out rows, the correlation with the correct scores is {metric.tuned:.2f} "
        f"(1 is perfect) and the typical error {error:.2g} (correlation of the base model's guess: {base:.2f})."
    )


def of_share(metrics: Mapping[str, Metric], rows: int, name: str, sentence: str) -> str:
    """Describe in what share of the rows each model is right. `sentence` has `opening`, `rows`, `tuned` and `base`."""
    metric = metrics[name]
    assert metric.base is not None  # the likelihood of a reply is known for both models
    opening, tuned, base = OPENING[judgment(metric)], f"{metric.tuned:.0%}", f"{metric.base:.0%}"
    return sentence.format(opening=opening, rows=f"{rows:,}", tuned=tuned, base=base) + _gain_in_points(metric)


def _gain_in_points(metric: Metric) -> str:
    if metric.gain_low is None or metric.gain_high is None:
        return ""
    low, high = metric.gain_low * 100, metric.gain_high * 100
    return f" The 95% confidence interval of the gain is {low:.0f} to {high:.0f} percentage points."


def _count(share: float, rows: int) -> str:
    return f"{round(share * rows):,}"
