"""The registry of metrics. Add a metric as one entry here. Most scores come from scikit-learn.

A metric is computed from observations: arrays of equal length, one value per row. Text tasks have `loss` (sum over the
reply's tokens), `tokens` and `right`. Label tasks have `expected` and `predicted` (class numbers), and `loss`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studio.metrics import scores, texts

Observations = Mapping[str, Any]
"""Name → numpy array with one value per row."""


@dataclass(frozen=True)
class Metric:
    """A number that measures the quality of a model on some rows."""

    name: str
    title: str
    sentence: str
    needs: tuple[str, ...]
    """Names of the observations that it needs."""
    compute: Callable[[Observations], float]
    higher_is_better: bool = True
    as_share: bool = False
    """Shown as a percentage."""


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "loss",
            "Loss",
            "How unlikely the correct answer is to the model. Lower is better.",
            ("loss",),
            scores.loss,
            False,
        ),
        Metric(
            "perplexity",
            "Perplexity",
            "Between how many tokens the model hesitates on average. Lower is better.",
            ("loss", "tokens"),
            scores.perplexity,
            False,
        ),
        Metric(
            "token_accuracy",
            "Token accuracy",
            "Share of the reply's tokens that the model predicts correctly.",
            ("right", "tokens"),
            scores.token_accuracy,
            as_share=True,
        ),
        Metric(
            "accuracy",
            "Accuracy",
            "Share of rows for which the model predicts the correct label.",
            ("expected", "predicted"),
            scores.accuracy,
            as_share=True,
        ),
        Metric(
            "macro_f1",
            "Macro F1",
            "Mean F1 of the labels. Rare labels count as much as common ones.",
            ("expected", "predicted"),
            scores.macro_f1,
            as_share=True,
        ),
        Metric(
            "micro_f1",
            "Micro F1",
            "F1 over all labels of all rows together. Common labels count more.",
            ("expected", "predicted"),
            scores.micro_f1,
            as_share=True,
        ),
        Metric(
            "pearson",
            "Pearson correlation",
            "How well the predicted scores follow the correct ones, from -1 to 1.",
            ("score", "guess"),
            scores.pearson,
        ),
        Metric(
            "spearman",
            "Spearman correlation",
            "How well the predicted order of the rows matches the correct one, from -1 to 1.",
            ("score", "guess"),
            scores.spearman,
        ),
        Metric(
            "mse",
            "Mean squared error",
            "Mean squared distance to the correct score. Lower is better.",
            ("score", "guess"),
            scores.mse,
            False,
        ),
        Metric(
            "preferred",
            "Preference accuracy",
            "Share of pairs in which the better reply is more likely, per token.",
            ("chosen", "rejected"),
            scores.preferred,
            as_share=True,
        ),
        Metric(
            "reward_accuracy",
            "Reward accuracy",
            "Share of pairs in which training raised the better reply more than the worse one.",
            ("reward_chosen", "reward_rejected"),
            scores.reward_accuracy,
            as_share=True,
        ),
        Metric(
            "reward_margin",
            "Reward margin",
            "Mean reward of the better reply minus that of the worse one, as DPO computes it.",
            ("reward_chosen", "reward_rejected"),
            scores.reward_margin,
        ),
        Metric(
            "thumbs_told_apart",
            "Liked above disliked (AUC)",
            "How often a liked reply is more likely than a disliked one, per token (area under the ROC curve).",
            ("liked", "likelihood"),
            scores.roc_auc,
            as_share=True,
        ),
        Metric(
            "reward_gap",
            "Gap",
            "Mean reward of liked replies minus that of disliked ones, as KTO computes it.",
            ("liked", "reward"),
            scores.reward_gap,
        ),
        Metric(
            "exact_match",
            "Exact match",
            "Share of answers that equal a correct answer word for word.",
            ("exact",),
            texts.mean_of("exact"),
            as_share=True,
        ),
        Metric(
            "f1",
            "F1",
            "Words shared with a correct answer: precision and recall in one number.",
            ("f1",),
            texts.mean_of("f1"),
            as_share=True,
        ),
        Metric(
            "rouge1",
            "ROUGE-1",
            "Words shared with the reference text (F1).",
            ("rouge1",),
            texts.mean_of("rouge1"),
            as_share=True,
        ),
        Metric(
            "rouge2",
            "ROUGE-2",
            "Pairs of adjacent words shared with the reference text (F1).",
            ("rouge2",),
            texts.mean_of("rouge2"),
            as_share=True,
        ),
        Metric(
            "rougeL",
            "ROUGE-L",
            "Words in the same order as in the reference text (F1).",
            ("rougeL",),
            texts.mean_of("rougeL"),
            as_share=True,
        ),
        Metric(
            "bleu",
            "BLEU",
            "Word sequences shared with the reference translation, from 0 to 100 (sacreBLEU).",
            ("bleu_counts",),
            texts.corpus_score("bleu"),
        ),
        Metric(
            "chrf",
            "chrF",
            "Character sequences shared with the reference translation, from 0 to 100 (sacreBLEU).",
            ("chrf_counts",),
            texts.corpus_score("chrf"),
        ),
    )
}


def measure(names: Sequence[str], observations: Observations) -> dict[str, float]:
    """Return the metrics that can be computed from the observations, as name → value."""
    known = [METRICS[name] for name in names]
    return {each.name: each.compute(observations) for each in known if set(each.needs) <= set(observations)}
