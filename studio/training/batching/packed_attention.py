"""Attention for rows laid end to end in one sequence, so that no padding is computed: each row looks at itself alone.

A mask would do the same, and slowly: it makes attention as dear as one row of the whole length. Here each row's part
is computed by itself, and every other layer does not notice.
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
"""Rows of the sequence that is being computed; None: a plain batch. It stays set until the next forward, since
activations may be computed a second time on the way back."""


def set_rows(lengths: Sequence[int] | None) -> None:
    """Say how the next sequence is made up."""
    global _lengths
    _lengths = None if lengths is None else list(lengths)


def rows_now() -> list[int] | None:
    """Lengths of the rows of the sequence that is being computed; None for a plain batch."""
    return _lengths


def attention(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    """torch's own attention: of the batch, or of each row by itself."""
    if _lengths is None:
        return sdpa_attention_forward(module, query, key, value, mask, **kwargs)
    parts = zip(query.split(_lengths, 2), key.split(_lengths, 2), value.split(_lengths, 2), strict=True)
    return torch.cat([sdpa_attention_forward(module, *part, None, **kwargs)[0] for part in parts], dim=1), None


def mask(**kwargs: Any) -> Any:
    """No mask for rows end to end; torch's own for a plain batch."""
    return None if _lengths is not None else sdpa_mask(**kwargs)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, mask)


def can_lay_end_to_end(model: Any, longest: int) -> bool:
    """Whether a model takes its attention from the registry, gets positions told, and looks at the whole row."""
    config = model.config.get_text_config()
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    names = inspect.signature(model.base_model.forward).parameters
    return (
        getattr(model, "_supports_attention_backend", False)
        and config._attn_implementation == "sdpa"
        and "position_ids" in names
        and all(window is None or window >= longest for window in windows)
    )
