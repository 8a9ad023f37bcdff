"""Collation of rows into tensors, and padding-free batches in which each document attends only to itself."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from studio.tasks.base import IGNORE_INDEX

PARTS = "parts"
"""Column of a batch with the lengths of each row's documents, padded with zeros."""


class Collator:
    """Pads rows on the right and adds the lengths of their documents."""

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


def document_lengths(parts: torch.Tensor) -> list[int]:
    """Lengths of all documents of a batch, in their order."""
    return [length for length in parts.flatten().tolist() if length]


def flatten_batch(inputs: dict[str, Any]) -> dict[str, Any]:
    """The batch as one sequence without padding. Positions restart at 0 with each document.

    Without a mask, transformers separates documents by their positions.
    """
    real = inputs["attention_mask"].bool()
    positions = torch.cat([torch.arange(length) for length in document_lengths(inputs[PARTS])])
    return {
        "input_ids": inputs["input_ids"][real][None],
        "labels": inputs["labels"][real][None],
        "position_ids": positions.to(real.device)[None],
    }
