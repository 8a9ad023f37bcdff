"""Predictions of a classifier for the validation rows, so that the user can watch the most difficult ones."""

from collections.abc import Sequence
from typing import Any

from studio.inference.heads import Head
from studio.schema.events import HeldRow

MAX_ROWS = 64
"""Maximum number of rows. A validation has no more unless the user asked for more."""
MAX_TEXT = 200
"""Maximum number of characters of a row's text."""
MIN_PROBABILITY = 1e-7


def row_predictions(logits: Any, labels: Any, head: Head) -> list[HeldRow]:
    """The first validation rows, each with its loss, prediction and label."""
    make_row = {"": _one, "multi_label_classification": _several, "regression": _score}[head.problem]
    return [make_row(at + 1, logits[at], labels[at], head.labels) for at in range(min(MAX_ROWS, len(labels)))]


def _one(row: int, logits: Any, right: Any, labels: Sequence[str]) -> HeldRow:
    import numpy as np

    probabilities = np.exp(logits - logits.max())
    probabilities = probabilities / probabilities.sum()
    predicted, right = int(probabilities.argmax()), int(right)
    return HeldRow(
        row=row,
        loss=_rounded(-np.log(max(probabilities[right], MIN_PROBABILITY))),
        said=labels[predicted],
        share=_rounded(probabilities[predicted]),
        right=labels[right],
        right_share=_rounded(probabilities[right]),
    )


def _several(row: int, logits: Any, right: Any, labels: Sequence[str]) -> HeldRow:
    """For several labels: the mean loss, and the probability of the whole answer."""
    import numpy as np

    probabilities = 1 / (1 + np.exp(-logits))
    correct = np.where(np.asarray(right) > 0.5, probabilities, 1 - probabilities).clip(MIN_PROBABILITY)
    predicted = [label for label, probability in zip(labels, probabilities, strict=True) if probability >= 0.5]
    expected = [label for label, each in zip(labels, right, strict=True) if each > 0.5]
    return HeldRow(
        row=row,
        loss=_rounded(-np.log(correct).mean()),
        said=", ".join(predicted) or "none",
        share=_rounded(np.maximum(probabilities, 1 - probabilities).prod()),
        right=", ".join(expected) or "none",
        right_share=_rounded(correct.prod()),
    )


def _score(row: int, logits: Any, right: Any, labels: Sequence[str]) -> HeldRow:
    predicted, right = float(logits.reshape(-1)[0]), float(right)
    return HeldRow(row=row, loss=_rounded((predicted - right) ** 2), said=f"{predicted:.4g}", right=f"{right:.4g}")


def with_texts(rows: Sequence[HeldRow], texts: Sequence[str]) -> list[HeldRow]:
    """The rows with their texts."""
    return [row.model_copy(update={"text": texts[row.row - 1][:MAX_TEXT]}) for row in rows]


def without_targets(rows: Sequence[HeldRow]) -> list[HeldRow]:
    """The rows without the labels that were sent with the first validation."""
    return [row.model_copy(update={"right": ""}) for row in rows]


def _rounded(number: Any) -> float:
    return float(f"{float(number):.4g}")
