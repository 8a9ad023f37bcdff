"""Scores of rows. Means over tokens weigh a row by its tokens, as training does."""

from collections.abc import Mapping, Sequence
from typing import Any


def loss(observed: Mapping[str, Any]) -> float:
    """Mean loss: of a token where rows have several, else of a row."""
    weight = observed["tokens"].sum() if "tokens" in observed else len(observed["loss"])
    return float(observed["loss"].sum() / max(1, weight))


def perplexity(observed: Mapping[str, Any]) -> float:
    """e to the mean loss."""
    import math

    return math.exp(min(loss(observed), 700.0))


def token_accuracy(observed: Mapping[str, Any]) -> float:
    """Share of tokens that were the likeliest."""
    return float(observed["right"].sum() / max(1, observed["tokens"].sum()))


def accuracy(observed: Mapping[str, Any]) -> float:
    """Share of rows with the right label."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(observed["expected"], observed["predicted"]))


def macro_f1(observed: Mapping[str, Any]) -> float:
    """F1 averaged over the labels that occur, in what is right or in what is said."""
    from sklearn.metrics import f1_score

    expected, predicted = observed["expected"], observed["predicted"]
    each = f1_score(expected, predicted, average=None, zero_division=0)
    if getattr(expected, "ndim", 1) > 1:  # a column a label: of one that occurs nowhere there is nothing to find
        each = each[(expected + predicted).any(0)]
    return float(each.mean()) if len(each) else 0.0


def micro_f1(observed: Mapping[str, Any]) -> float:
    """F1 over all labels of all rows together."""
    from sklearn.metrics import f1_score

    return float(f1_score(observed["expected"], observed["predicted"], average="micro", zero_division=0))


def pearson(observed: Mapping[str, Any]) -> float:
    """Pearson's correlation; 0 where all scores are one."""
    from scipy.stats import pearsonr

    return _correlation(pearsonr, observed)


def spearman(observed: Mapping[str, Any]) -> float:
    """Spearman's correlation of ranks; 0 where all scores are one."""
    from scipy.stats import spearmanr

    return _correlation(spearmanr, observed)


def mse(observed: Mapping[str, Any]) -> float:
    """Mean squared error."""
    from sklearn.metrics import mean_squared_error

    return float(mean_squared_error(observed["score"], observed["guess"]))


def _correlation(compute: Any, observed: Mapping[str, Any]) -> float:
    score, guess = observed["score"], observed["guess"]
    if len(score) < 2 or score.min() == score.max() or guess.min() == guess.max():
        return 0.0
    return float(compute(score, guess).statistic)


def preferred(observed: Mapping[str, Any]) -> float:
    """Share of pairs whose better reply is the likelier one."""
    return float((observed["chosen"] > observed["rejected"]).mean())


def reward_accuracy(observed: Mapping[str, Any]) -> float:
    """Share of pairs whose better reply has the higher reward."""
    return float((observed["reward_chosen"] > observed["reward_rejected"]).mean())


def reward_margin(observed: Mapping[str, Any]) -> float:
    """Mean of the better reply's reward less the worse one's."""
    return float((observed["reward_chosen"] - observed["reward_rejected"]).mean())


def told_apart(observed: Mapping[str, Any]) -> float:
    """Area under the ROC curve; one half where all thumbs point one way."""
    from sklearn.metrics import roc_auc_score

    liked = observed["liked"]
    return float(roc_auc_score(liked, observed["likelihood"])) if 0 < liked.sum() < len(liked) else 0.5


def reward_gap(observed: Mapping[str, Any]) -> float:
    """Mean reward of liked replies less that of disliked ones; 0 where there are none of either."""
    liked, reward = observed["liked"].astype(bool), observed["reward"]
    return float(reward[liked].mean() - reward[~liked].mean()) if 0 < liked.sum() < len(liked) else 0.0


def per_label(expected: Any, predicted: Any, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Label → precision, recall, f1 and rows, for every label that the model knows."""
    from sklearn.metrics import precision_recall_fscore_support

    numbers = list(range(len(labels)))
    columns = precision_recall_fscore_support(expected, predicted, labels=numbers, zero_division=0)
    return {
        label: {"precision": float(p), "recall": float(r), "f1": float(f), "rows": int(n)}
        for label, p, r, f, n in zip(labels, *columns, strict=True)
    }


def confusion(expected: Any, predicted: Any, labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Expected label → predicted label → rows."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(expected, predicted, labels=list(range(len(labels))))
    return {
        label: {other: int(count) for other, count in zip(labels, row, strict=True)}
        for label, row in zip(labels, counts, strict=True)
    }
