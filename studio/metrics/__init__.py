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
        Metric("loss", "Loss", "How surprised it is by the right answer.", ("loss",), scores.loss, False),
        Metric(
            "perplexity",
            "Perplexity",
            "Among how many words, so to speak, it has to guess each time.",
            ("loss", "tokens"),
            scores.perplexity,
            False,
        ),
        Metric(
            "token_accuracy",
            "Next word right",
            "Share of the reply's words that it would have said itself.",
            ("right", "tokens"),
            scores.token_accuracy,
            as_share=True,
        ),
        Metric(
            "accuracy",
            "Right answers",
            "Share of rows with the right label.",
            ("expected", "predicted"),
            scores.accuracy,
            as_share=True,
        ),
        Metric(
            "macro_f1",
            "Macro F1",
            "F1 averaged over labels, so that rare labels count as much as common ones.",
            ("expected", "predicted"),
            scores.macro_f1,
            as_share=True,
        ),
        Metric(
            "micro_f1",
            "Micro F1",
            "F1 over all labels of all rows together.",
            ("expected", "predicted"),
            scores.micro_f1,
            as_share=True,
        ),
        Metric(
            "pearson",
            "Pearson",
            "How well its scores go up and down with the right ones, -1 to 1.",
            ("score", "guess"),
            scores.pearson,
        ),
        Metric(
            "spearman",
            "Spearman",
            "How well its order of the rows is the right one, -1 to 1.",
            ("score", "guess"),
            scores.spearman,
        ),
        Metric(
            "mse",
            "Squared error",
            "Mean of the squared distance to the right score.",
            ("score", "guess"),
            scores.mse,
            False,
        ),
        Metric(
            "preferred",
            "Better reply likelier",
            "Share of pairs whose better reply it finds the likelier one, by token.",
            ("chosen", "rejected"),
            scores.preferred,
            as_share=True,
        ),
        Metric(
            "reward_accuracy",
            "Moved the right way",
            "Share of pairs in which the better reply gained more over the base than the worse.",
            ("reward_chosen", "reward_rejected"),
            scores.reward_accuracy,
            as_share=True,
        ),
        Metric(
            "reward_margin",
            "Margin",
            "By how much the better reply gained more over the base than the worse, in DPO's own measure.",
            ("reward_chosen", "reward_rejected"),
            scores.reward_margin,
        ),
        Metric(
            "thumbs_told_apart",
            "Liked told from disliked",
            "How often it finds a liked reply likelier than a disliked one, by token (area under the ROC curve).",
            ("liked", "likelihood"),
            scores.roc_auc,
            as_share=True,
        ),
        Metric(
            "reward_gap",
            "Gap",
            "By how much liked replies gained more over the base than disliked ones, in KTO's own measure.",
            ("liked", "reward"),
            scores.reward_gap,
        ),
        Metric(
            "exact_match",
            "Exact match",
            "Share of answers that are a right one word for word.",
            ("exact",),
            texts.mean_of("exact"),
            as_share=True,
        ),
        Metric(
            "f1",
            "F1",
            "Words shared with a right answer, precision and recall in one number.",
            ("f1",),
            texts.mean_of("f1"),
            as_share=True,
        ),
        Metric(
            "rouge1",
            "ROUGE-1",
            "Words that it shares with the text of a person (F1).",
            ("rouge1",),
            texts.mean_of("rouge1"),
            as_share=True,
        ),
        Metric(
            "rouge2",
            "ROUGE-2",
            "Pairs of neighbouring words that it shares with the text of a person (F1).",
            ("rouge2",),
            texts.mean_of("rouge2"),
            as_share=True,
        ),
        Metric(
            "rougeL",
            "ROUGE-L",
            "Words in the same order as in the text of a person (F1).",
            ("rougeL",),
            texts.mean_of("rougeL"),
            as_share=True,
        ),
        Metric(
            "bleu",
            "BLEU",
            "Runs of words shared with a person's translation, 0 to 100 (sacreBLEU).",
            ("bleu_counts",),
            texts.corpus_score("bleu"),
        ),
        Metric(
            "chrf",
            "chrF",
            "Runs of letters shared with a person's translation, 0 to 100 (sacreBLEU).",
            ("chrf_counts",),
            texts.corpus_score("chrf"),
        ),
    )
}


def measure(names: Sequence[str], observations: Observations) -> dict[str, float]:
    """Return the metrics that can be computed from the observations, as name → value."""
    known = [METRICS[name] for name in names]
    return {each.name: each.compute(observations) for each in known if set(each.needs) <= set(observations)}
