"""Rows of like length together, padded to one rectangle."""

from collections.abc import Sequence
from typing import Any


def by_length(lengths: Sequence[int], most_tokens: int = 4096, most_rows: int = 32) -> list[list[int]]:
    """Positions in batches of like length, the longest first; a batch holds so many tokens with its padding."""
    order = sorted(range(len(lengths)), key=lambda position: -lengths[position])
    batches: list[list[int]] = []
    room = 0
    for position in order:
        if not batches or len(batches[-1]) >= room:
            batches.append([])
            room = max(1, min(most_rows, most_tokens // max(1, lengths[position])))
        batches[-1].append(position)
    return batches


def padded(rows: Sequence[Sequence[int]], pad: int, device: Any) -> dict[str, Any]:
    """`input_ids` and `attention_mask` of rows, padded on the right."""
    import torch

    longest = max(map(len, rows))
    ids = [[*row, *[pad] * (longest - len(row))] for row in rows]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    return {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}
