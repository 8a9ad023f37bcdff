"""Scores computed from observations. Means over tokens weight a row by its tokens, as training does."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def loss(observed: Mapping[str, Any]) -> float:
    """Return the mean loss: per token if there are several per row, else per row."""
    weight = observed["tokens"].sum() if "tokens" in observed else len(observed["loss"])
    return float(observed["loss"].sum() / max(1, weight))


def perplexity(observed: Mapping[str, Any]) -> float:
    """Return e to the power of the mean loss."""
    return math.exp(min(loss(observed), 700.0))


def token_accuracy(observed: Mapping[str, Any]) -> float:
    """Return the fraction of tokens that had the highest probability."""
    return float(observed["right"].sum() / max(1, observed["tokens"].sum()))


def accuracy(observed: Mapping[str, Any]) -> float:
    """Return the fraction of rows with the right label, or with exactly the right labels."""
    right = observed["expected"] == observed["predicted"]
    return float((right.all(1) if right.ndim > 1 else right).mean())


def macro_f1(observed: Mapping[str, Any]) -> float:
    """Return the mean F1 of the labels that occur in the expected or predicted values.

    scikit-learn's `f1_score` gives the same, but takes a millisecond, and intervals compute it thousands of times.
    """
    import numpy as np

    expected, predicted = observed["expected"], observed["predicted"]
    if getattr(expected, "ndim", 1) > 1:  # one column per label
        right, total = (expected & predicted).sum(0), (expected + predicted).sum(0)
    else:
        labels = 1 + max(expected.max(initial=0), predicted.max(initial=0))
        right = np.bincount(expected[expected == predicted], minlength=labels)
        total = np.bincount(expected, minlength=labels) + np.bincount(predicted, minlength=labels)
    occurs = total > 0
    return float((2 * right[occurs] / total[occurs]).mean()) if occurs.any() else 0.0


def micro_f1(observed: Mapping[str, Any]) -> float:
    """Return F1 over all labels of all rows together."""
    from sklearn.metrics import f1_score

    return float(f1_score(observed["expected"], observed["predicted"], average="micro", zero_division=0))


def pearson(observed: Mapping[str, Any]) -> float:
    """Return Pearson's correlation. 0 if all scores are equal, NaN if one is not finite."""
    from scipy.stats import pearsonr

    return _correlation(pearsonr, observed)


def spearman(observed: Mapping[str, Any]) -> float:
    """Return Spearman's rank correlation. 0 if all scores are equal, NaN if one is not finite."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, observed)


def mse(observed: Mapping[str, Any]) -> float:
    """Return the mean squared error. It is not finite if a score is not: scikit-learn raises an error then."""
    return float(((observed["score"] - observed["guess"]) ** 2).mean())


def _correlation(compute: Any, observed: Mapping[str, Any]) -> float:
    import numpy as np

    score, predicted_score = observed["score"], observed["guess"]
    if len(score) < 2 or score.min() == score.max() or predicted_score.min() == predicted_score.max():
        return 0.0
    if not np.isfinite(predicted_score).all():  # SciPy raises an error
        return math.nan
    return float(compute(score, predicted_score).statistic)


def preferred(observed: Mapping[str, Any]) -> float:
    """Return the fraction of pairs in which the chosen reply has the higher likelihood."""
    return float((observed["chosen"] > observed["rejected"]).mean())


def reward_accuracy(observed: Mapping[str, Any]) -> float:
    """Return the fraction of pairs in which the chosen reply has the higher reward."""
    return float((observed["reward_chosen"] > observed["reward_rejected"]).mean())


def reward_margin(observed: Mapping[str, Any]) -> float:
    """Return the mean reward of chosen replies minus that of rejected ones."""
    return float((observed["reward_chosen"] - observed["reward_rejected"]).mean())


def roc_auc(observed: Mapping[str, Any]) -> float:
    """Return the area under the ROC curve. 0.5 if all thumbs are equal, NaN if a likelihood is not finite."""
    import numpy as np
    from sklearn.metrics import roc_auc_score

    liked, likelihood = observed["liked"], observed["likelihood"]
    if not np.isfinite(likelihood).all():  # scikit-learn raises an error
        return math.nan
    return float(roc_auc_score(liked, likelihood)) if 0 < liked.sum() < len(liked) else 0.5


def reward_gap(observed: Mapping[str, Any]) -> float:
    """Return the mean reward of liked replies minus that of disliked ones. 0 if either kind is missing."""
    liked, reward = observed["liked"].astype(bool), observed["reward"]
    return float(reward[liked].mean() - reward[~liked].mean()) if 0 < liked.sum() < len(liked) else 0.0


def per_label(expected: Any, predicted: Any, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return label → precision, recall, f1 and rows, for every label of the model."""
    from sklearn.metrics import precision_recall_fscore_support

    numbers = list(range(len(labels)))
    columns = precision_recall_fscore_support(expected, predicted, labels=numbers, zero_division=0)
    return {
        label: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for label, p, r, f, n in zip(labels, *columns, strict=True)
    }


def confusion(expected: Any, predicted: Any, labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return expected label → predicted label → number of rows."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(expected, predicted, labels=list(range(len(labels))))
    return {
        label: {other: int(count) for other, count in zip(labels, row, strict=True)}
        for label, row in zip(labels, counts, strict=True)
    }
