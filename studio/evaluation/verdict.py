"""The metrics in a few sentences. A difference is reported only if chance is an unlikely cause.

A model that the base model can't be compared with must beat the baselines: always the same answer, chance, and the
nearest neighbors, in every main metric.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from studio.evaluation.rows_needed import DIFFERENCE, Gain, settle
from studio.metrics.intervals import FEWEST
from studio.schema.numbers import plural
from studio.schema.report import Baseline, Metric, confused_pairs, rows_of_split

OPENING = {
    "better": "Clearly better:",
    "worse": "Clearly worse:",
    "same": "No clear difference:",
    "few": "Too few rows for a verdict:",
}
OUTCOMES = {"few": "unclear"}
"""Judgment of the base model → outcome of the report, where the names differ."""
MOST_DECIMALS = 6
"""Of the end of an interval."""
WEAK = 0.9
"""A label with a lower recall than this is reported, if it is the lowest."""
SAME_ANSWER = ("majority", "mean")
"""Baselines that always give the same answer."""
TITLES = {
    ("worse", "majority"): "Clearly worse than always saying “{answer}”.",
    ("worse", "mean"): "Clearly worse than always giving the mean score.",
    ("worse", "neighbors"): "Clearly worse than copying from similar rows (nearest neighbors).",
    ("worse", "sentence"): "Clearly worse than taking the most similar sentence.",
    ("useless", "majority"): "Not better than always saying “{answer}”.",
    ("useless", "mean"): "Not better than always giving the mean score.",
    ("unclear", "majority"): "Too few rows to tell this model from always saying “{answer}”.",
    ("unclear", "mean"): "Too few rows to tell this model from always giving the mean score.",
    ("unclear", "sentence"): "Too few rows for a verdict.",
    ("same", "sentence"): "No clear difference from taking the most similar sentence.",
    ("useful", "majority"): "Better than always saying “{answer}” in one metric, but not in all.",
    ("useful", "mean"): "Better than always giving the mean score in one metric, but not in all.",
    ("useful", "neighbors"): "Better than always the same answer, but not clearly better than copying from similar "
    "rows (nearest neighbors).",
    ("better", "majority"): "Clearly better than always saying “{answer}”.",
    ("better", "mean"): "Clearly better than always giving the mean score.",
    ("better", "neighbors"): "Clearly better than copying from similar rows (nearest neighbors) and than always "
    "the same answer.",
    ("better", "sentence"): "Clearly better than taking the most similar sentence.",
}
"""Outcome and the baseline that decides it → the first sentence."""


@dataclass(frozen=True)
class Measured:
    """What a verdict is about."""

    metrics: Mapping[str, Metric]
    rows: int
    """Number of rows."""
    split: str = "test"
    """The rows, as in a report."""
    baselines: Sequence[Baseline] = ()

    @property
    def on(self) -> str:
        """The rows in words."""
        return rows_of_split(self.split, self.rows)

    def baseline(self, *names: str) -> Baseline | None:
        """The first baseline with one of the names."""
        return next((each for each in self.baselines if each.name in names), None)


@dataclass(frozen=True)
class Verdict:
    """The result: a word for code, sentences for people, and how many more rows would settle it."""

    outcome: str
    text: str
    rows_needed: int | None = None


def judgment(metric: Metric) -> str:
    """Return `better` or `worse` if the interval of the paired difference excludes zero; else `same`, `few` or `alone`.

    `few`: too few rows for an interval. `alone`: there is no base result.
    """
    return "alone" if metric.base is None else compare_gain(metric, metric.higher_is_better)


def compare_gain(gain: Gain, higher_is_better: bool) -> str:
    """Return `better`, `worse`, `same` (the interval of the gain includes zero) or `few` (there is no interval).

    Without a finite interval it is `worse`: the outputs of a model that diverged are not finite.
    """
    if gain.gain_low is None or gain.gain_high is None:
        return "few"
    if not (math.isfinite(gain.gain_low) and math.isfinite(gain.gain_high)):
        return "worse"
    if gain.gain_low <= 0 <= gain.gain_high:
        return "same"
    return "better" if (gain.gain_low > 0) == higher_is_better else "worse"


def compare_with_baselines(measured: Measured, main: Sequence[str]) -> tuple[str, Baseline | None]:
    """Return the outcome against all baselines in the main metrics, and the baseline that decides it.

    A model that loses to one baseline is not useful, however it does against the others. So the worst result decides,
    and that against always the same answer comes first, because it is the easiest to beat.
    """
    same, informed = measured.baseline(*SAME_ANSWER), measured.baseline("neighbors", "sentence")
    against_same = _against_same_answer(measured, same, main) if same else "alone"
    against_informed = set(_judgments(measured, informed, main).values()) if informed else set()
    loses = informed is not None and _is_worse(against_informed)
    if against_same in ("worse", "useless") or (against_same == "unclear" and not loses):
        return against_same, same
    if loses:
        return "worse", informed
    if against_same == "useful" or not informed:
        return against_same, same
    if against_informed == {"better"}:
        return "better", informed
    if same:
        return "useful", informed
    return ("unclear" if "few" in against_informed else "same"), informed


def _against_same_answer(measured: Measured, same: Baseline, main: Sequence[str]) -> str:
    """Return the outcome against always the same answer and chance: `better`, `useful` (in one metric), `worse`,
    `useless` or `unclear`."""
    results = set(_judgments(measured, same, main).values())
    chance = measured.baseline("chance")
    if not results or "few" in results:
        return "unclear"
    if _is_worse(results):
        return "worse"
    if "better" in results and (chance is None or set(_judgments(measured, chance, main).values()) == {"better"}):
        return "better" if results == {"better"} else "useful"
    return "unclear" if all(_leads(measured, each, main) for each in (same, chance) if each) else "useless"


def _is_worse(results: set[str]) -> bool:
    return "worse" in results and "better" not in results


def _judgments(measured: Measured, baseline: Baseline, main: Sequence[str]) -> dict[str, str]:
    """Return main metric → how the fine-tuned model compares with a baseline."""
    return {
        name: compare_gain(baseline.metrics[name], measured.metrics[name].higher_is_better)
        for name in main
        if name in baseline.metrics and name in measured.metrics
    }


def _leads(measured: Measured, baseline: Baseline, main: Sequence[str]) -> bool:
    """Return whether the model is ahead in the first main metric: of a share by `DIFFERENCE`, of an error by any."""
    name = main[0]
    gain = measured.metrics[name].tuned - baseline.metrics[name].value
    return gain >= DIFFERENCE if measured.metrics[name].higher_is_better else gain < 0


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def of_texts(measured: Measured) -> Verdict:
    """Describe the loss of the correct replies."""
    loss, on = measured.metrics["loss"], measured.on
    tuned = _loss(loss.tuned)
    if loss.base is None:
        return Verdict("alone", f"On {on}, the loss of the correct replies is {tuned}.")
    result = judgment(loss)
    opening, base = OPENING[result], _loss(loss.base)
    text = f"{opening} on {on}, the loss of the correct replies is {tuned} (base model: {base})."
    range_ = ""
    if loss.gain_low is not None and loss.gain_high is not None:
        low, high = interval(-loss.gain_high, -loss.gain_low, 2)
        range_ = f"The 95% confidence interval of the gain is {low} to {high}."
    return _against_base(result, loss, measured.rows, None, _joined(text, range_))


def _against_base(result: str, metric: Metric, rows: int, smallest: float | None, text: str) -> Verdict:
    """Return the verdict on a comparison with the base model, with what would settle an open one."""
    needed, more = "", None
    if result == "same" and metric.base is not None:
        needed, more = settle(metric.tuned - metric.base, metric, rows, smallest)
    return Verdict(OUTCOMES.get(result, result), _joined(text, needed), more)


def interval(low: float, high: float, decimals: int = 0) -> tuple[str, str]:
    """Return both ends with so many decimals, or more, that an end is 0 only if it is zero."""
    while decimals < MOST_DECIMALS and any(end and not round(end, decimals) for end in (low, high)):
        decimals += 1
    return f"{low:z.{decimals}f}", f"{high:z.{decimals}f}"


def _loss(value: float) -> str:
    """Return `5.16` or `0.0038`: a small loss is not rounded to zero."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def of_labels(
    measured: Measured,
    per_label: Mapping[str, Mapping[str, float]],
    confusion: Mapping[str, Mapping[str, int]] | None = None,
) -> Verdict:
    """Describe the accuracy against the baselines; name what is confused most, and the label with the lowest recall."""
    accuracy, rows = measured.metrics["accuracy"], measured.rows
    outcome, decisive = compare_with_baselines(measured, ("accuracy", "macro_f1"))
    correct, on = _count(accuracy.tuned, rows), measured.on
    sentences = [_title(outcome, decisive, measured), f"{correct} of {on} are labeled correctly."]
    for baseline in measured.baselines:
        if "accuracy" in baseline.metrics:
            sentences.append(_correct_by(baseline, rows))
    needed, more = _next_step(outcome, decisive, measured, "accuracy")
    sentences += [_gain_over(decisive), needed, _confused_most(confusion or {}), _weakest(per_label)]
    return Verdict(outcome, _joined(*sentences), more)


def _title(outcome: str, decisive: Baseline | None, measured: Measured) -> str:
    if decisive is None:
        return ""
    if outcome == "unclear" and measured.rows < FEWEST:
        return "Too few rows for a verdict."
    if (outcome, decisive.name) == ("useful", "majority"):
        results = _judgments(measured, decisive, ("accuracy", "macro_f1"))
        if title := _in_one_metric(decisive.answer, results):
            return title
    return TITLES[outcome, decisive.name].format(answer=decisive.answer)


def _in_one_metric(answer: str, results: Mapping[str, str]) -> str:
    """Return the title of a model that is better than the same answer in one metric. Empty if it is in none."""
    if results.get("macro_f1") == "better":
        if results.get("accuracy") == "worse":
            return f"Better than always saying “{answer}” in macro F1, but clearly worse in accuracy."
        return f"Better than always saying “{answer}” in macro F1, but not clearly in accuracy."
    if results.get("accuracy") == "better":
        if results.get("macro_f1") == "worse":
            return f"Better than always saying “{answer}” in accuracy, but clearly worse in macro F1."
        return f"Better than always saying “{answer}” in accuracy, but not clearly in macro F1."
    return ""


def _correct_by(baseline: Baseline, rows: int) -> str:
    correct = _count(baseline.metrics["accuracy"].value, rows)
    if baseline.name == "majority":
        return f"Always saying “{baseline.answer}” labels {correct} correctly."
    if baseline.name == "neighbors":
        return f"Copying from similar rows labels {correct} correctly."
    return f"Random guesses (chance) label {correct} correctly."


def _gain_over(decisive: Baseline | None) -> str:
    """Return the interval of the gain in accuracy, unless it is empty."""
    metric = decisive and decisive.metrics.get("accuracy")
    if not decisive or not metric or metric.gain_low is None or metric.gain_high is None:
        return ""
    low, high = interval(metric.gain_low * 100, metric.gain_high * 100)
    if low == high:
        return ""
    if decisive.name == "neighbors":
        return (
            f"The 95% confidence interval of the gain over copying from similar rows is {low} to {high} percentage "
            "points."
        )
    return (
        f"The 95% confidence interval of the gain over always saying “{decisive.answer}” is {low} to {high} percentage "
        "points."
    )


def _next_step(outcome: str, decisive: Baseline | None, measured: Measured, name: str) -> tuple[str, int | None]:
    """Return what would settle an open outcome, or what to do about a useless model."""
    if outcome == "useless":
        return "Check your labels or train longer. More test rows would not help.", None
    if outcome not in ("unclear", "useful", "same") or decisive is None or name not in decisive.metrics:
        return "", None
    baseline, metric = decisive.metrics[name], measured.metrics[name]
    if compare_gain(baseline, metric.higher_is_better) in ("better", "worse"):
        return "", None
    smallest = DIFFERENCE if metric.as_share else None
    return settle(metric.tuned - baseline.value, baseline, measured.rows, smallest)


def _confused_most(confusion: Mapping[str, Mapping[str, int]]) -> str:
    pairs: dict[tuple[str, str], int] = {}
    for label, other, times in confused_pairs(confusion):
        pair = (label, other) if (other, label) not in pairs else (other, label)
        pairs[pair] = pairs.get(pair, 0) + times
    if not pairs:
        return ""
    (first, second), number = max(pairs.items(), key=lambda each: each[1])
    return plural(
        number,
        "“{first}” and “{second}” are confused most ({n} time).",
        "“{first}” and “{second}” are confused most ({n} times).",
        first=first,
        second=second,
    )


def _weakest(per_label: Mapping[str, Mapping[str, float]]) -> str:
    present = {label: values for label, values in per_label.items() if values["rows"]}
    label = min(present, key=lambda label: present[label]["recall"], default="")
    if len(present) < 2 or present[label]["recall"] >= WEAK:
        return ""
    times = int(present[label]["rows"])
    correct = _count(present[label]["recall"], times)
    return f"The label “{label}” has the lowest recall: {correct} of {times:,} rows."


def of_score(measured: Measured, name: str, title: str, as_share: bool, main: Sequence[str] = ()) -> Verdict:
    """Describe a text metric, or F1 of several labels. `main` are the metrics that are compared with baselines."""
    metric, times, on = measured.metrics[name], 100 if as_share else 1, measured.on
    tuned, smallest = metric.tuned * times, DIFFERENCE if as_share else None
    if metric.base is None:
        outcome, decisive = compare_with_baselines(measured, main or (name,))
        text = f"On {on}, {title} is {tuned:.1f} of 100."
        others = [_score_of(each, name, times) for each in measured.baselines if name in each.metrics]
        needed, more = _next_step(outcome, decisive, measured, name)
        return Verdict(outcome, _joined(_title(outcome, decisive, measured), text, *others, needed), more)
    result = judgment(metric)
    opening, base, range_ = OPENING[result], metric.base * times, ""
    text = f"{opening} on {on}, {title} is {tuned:.1f} of 100 (base model: {base:.1f})."
    if metric.gain_low is not None and metric.gain_high is not None:
        low, high = metric.gain_low * times, metric.gain_high * times
        range_ = f"The 95% confidence interval of the gain is {low:z.1f} to {high:z.1f}."
    return _against_base(result, metric, measured.rows, smallest, _joined(text, range_))


def _score_of(baseline: Baseline, name: str, times: float) -> str:
    score = baseline.metrics[name].value * times
    if baseline.name == "majority":
        return f"Always saying “{baseline.answer}” reaches {score:.1f}."
    if baseline.name == "neighbors":
        return f"Copying from similar rows reaches {score:.1f}."
    if baseline.name == "sentence":
        return f"Taking the most similar sentence reaches {score:.1f}."
    return f"Random guesses (chance) reach {score:.1f}."


def of_correlation(measured: Measured) -> Verdict:
    """Describe the correlation of scores, and the error against the baselines."""
    metric, error, on = measured.metrics["pearson"], measured.metrics["mse"].tuned ** 0.5, measured.on
    outcome, decisive = compare_with_baselines(measured, ("pearson", "mse"))
    text = (
        f"On {on}, the correlation with the correct scores is {metric.tuned:.2f} (1 is perfect) and the typical error "
        f"{error:.2g}."
    )
    neighbors, mean = measured.baseline("neighbors"), measured.baseline("mean")
    others = []
    if mean is not None:
        mean_error = mean.metrics["mse"].value ** 0.5
        others.append(f"Always giving the mean score has a typical error of {mean_error:.2g}.")
    if neighbors is not None:
        correlation = neighbors.metrics["pearson"].value
        others.append(f"Copying from similar rows reaches a correlation of {correlation:.2f}.")
    needed, more = _next_step(outcome, decisive, measured, "pearson")
    return Verdict(outcome, _joined(_title(outcome, decisive, measured), text, *others, needed), more)


def of_share(measured: Measured, name: str, sentence: str) -> Verdict:
    """Describe in what share of the rows each model is right. `sentence` has `opening`, `rows`, `tuned` and `base`."""
    metric = measured.metrics[name]
    assert metric.base is not None  # the likelihood of a reply is known for both models
    result = judgment(metric)
    opening, tuned, base = OPENING[result], f"{metric.tuned:.0%}", f"{metric.base:.0%}"
    text = sentence.format(opening=opening, rows=measured.on, tuned=tuned, base=base)
    return _against_base(result, metric, measured.rows, DIFFERENCE, _joined(text, _gain_in_points(metric)))


def _gain_in_points(metric: Metric) -> str:
    if metric.gain_low is None or metric.gain_high is None:
        return ""
    low, high = interval(metric.gain_low * 100, metric.gain_high * 100)
    return f"The 95% confidence interval of the gain is {low} to {high} percentage points."


def _count(share: float, rows: int) -> str:
    return f"{round(share * rows):,}"
