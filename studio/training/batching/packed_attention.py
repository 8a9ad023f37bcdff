"""Attention for padding-free batches: rows are concatenated to one sequence, and each row attends only to itself.

A mask would give the same result, but attention would cost as much as for one row of the total length. Here, attention
is computed per row. All other layers are unchanged.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "by_rows"
_lengths: list[int] | None = None
"""Row lengths of the current sequence, or None for a padded batch. Stays set until the next forward call, since
gradient checkpointing may compute activations again in the backward pass."""


def set_row_lengths(lengths: Sequence[int] | None) -> None:
    """Set the row lengths of the next sequence."""
    global _lengths
    _lengths = None if lengths is None else list(lengths)


def current_row_lengths() -> list[int] | None:
    """Row lengths of the current sequence. None for a padded batch."""
    return _lengths


def attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    """Scaled dot product attention of torch, for the whole batch or for each row."""
    if _lengths is None:
        return sdpa_attention_forward(module, query, key, value, mask, **kwargs)
    parts = zip(query.split(_lengths, 2), key.split(_lengths, 2), value.split(_lengths, 2), strict=True)
    return torch.cat([sdpa_attention_forward(module, *part, None, **kwargs)[0] for part in parts], dim=1), None


def mask(**kwargs: Any) -> Any:
    """No mask for a padding-free batch, otherwise the mask of transformers."""
    return None if _lengths is not None else sdpa_mask(**kwargs)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, mask)


def may_run_padding_free(model: Any, longest: int) -> bool:
    """Whether a model uses registered attention functions, accepts positions, and attends to whole rows."""
    config = model.config.get_text_config()
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    names = inspect.signature(model.base_model.forward).parameters
    return (
        getattr(model, "_supports_attention_backend", False)
        and config._attn_implementation == "sdpa"
        and "position_ids" in names
        and all(window is None or window >= longest for window in windows)
    )
