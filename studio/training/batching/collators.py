"""Rows of a batch as tensors, and documents that share a row laid out so that each sees itself alone."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from studio.tasks.base import IGNORE_INDEX

PARTS = "parts"
"""Column of a batch: how long the documents of each row are, filled up with zeros."""


class Collator:
    """Rows of a batch, padded on the right, with the lengths of their documents."""

    def __init__(self, pad: int) -> None:
        self.pad = pad

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids, labels, parts = ([torch.tensor(row[name]) for row in rows] for name in ("input_ids", "labels", PARTS))
        return {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self.pad),
            "labels": pad_sequence(labels, batch_first=True, padding_value=IGNORE_INDEX),
            "attention_mask": pad_sequence([torch.ones_like(each) for each in ids], batch_first=True),
            PARTS: pad_sequence(parts, batch_first=True),
        }


def lengths_in(parts: torch.Tensor) -> list[int]:
    """Lengths of all documents of a batch, in their order."""
    return [length for length in parts.flatten().tolist() if length]


def laid_end_to_end(inputs: dict[str, Any]) -> dict[str, Any]:
    """A batch as one sequence without padding, in which positions begin anew with each document.

    transformers tells documents apart by that where there is no mask.
    """
    real = inputs["attention_mask"].bool()
    positions = torch.cat([torch.arange(length) for length in lengths_in(inputs[PARTS])])
    return {
        "input_ids": inputs["input_ids"][real][None],
        "labels": inputs["labels"][real][None],
        "position_ids": positions.to(real.device)[None],
    }
