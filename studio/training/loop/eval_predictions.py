"""What a classifier says to each validation row of a check, so that the hardest can be watched."""

from collections.abc import Sequence
from typing import Any

from studio.inference.heads import Head
from studio.schema.events import HeldRow

MOST = 64
"""Rows of a check that are told; a check has no more unless more were asked for."""
LONGEST = 200
"""Letters of a row's text that are told."""
SURE = 1e-7


def held_rows(logits: Any, given: Any, head: Head) -> list[HeldRow]:
    """The first rows, each with its loss, what is said and what is right."""
    tell = {"": _one, "multi_label_classification": _several, "regression": _score}[head.problem]
    return [tell(at + 1, logits[at], given[at], head.labels) for at in range(min(MOST, len(given)))]


def _one(row: int, logits: Any, right: Any, labels: Sequence[str]) -> HeldRow:
    import numpy as np

    shares = np.exp(logits - logits.max())
    shares = shares / shares.sum()
    said, right = int(shares.argmax()), int(right)
    return HeldRow(
        row=row,
        loss=_short(-np.log(max(shares[right], SURE))),
        said=labels[said],
        share=_short(shares[said]),
        right=labels[right],
        right_share=_short(shares[right]),
    )


def _several(row: int, logits: Any, right: Any, labels: Sequence[str]) -> HeldRow:
    """Of several labels, the loss of all and how sure the whole answer is."""
    import numpy as np

    shares = 1 / (1 + np.exp(-logits))
    true = np.where(np.asarray(right) > 0.5, shares, 1 - shares).clip(SURE)
    said = [label for label, share in zip(labels, shares, strict=True) if share >= 0.5]
    wanted = [label for label, each in zip(labels, right, strict=True) if each > 0.5]
    return HeldRow(
        row=row,
        loss=_short(-np.log(true).mean()),
        said=", ".join(said) or "none",
        share=_short(np.maximum(shares, 1 - shares).prod()),
        right=", ".join(wanted) or "none",
        right_share=_short(true.prod()),
    )


def _score(row: int, logits: Any, right: Any, labels: Sequence[str]) -> HeldRow:
    said, right = float(logits.reshape(-1)[0]), float(right)
    return HeldRow(row=row, loss=_short((said - right) ** 2), said=f"{said:.4g}", right=f"{right:.4g}")


def told_once(rows: Sequence[HeldRow], texts: Sequence[str]) -> list[HeldRow]:
    """With each row's own text."""
    return [row.model_copy(update={"text": texts[row.row - 1][:LONGEST]}) for row in rows]


def silent(rows: Sequence[HeldRow]) -> list[HeldRow]:
    """Without what was told with the first check."""
    return [row.model_copy(update={"right": ""}) for row in rows]


def _short(number: Any) -> float:
    return float(f"{float(number):.4g}")
