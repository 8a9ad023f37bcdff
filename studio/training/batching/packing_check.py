"""Tests whether texts in one sequence stay independent. Some models ignore the limits given by positions, or carry a
state from one text to the next.

The architecture's name does not tell it, so it is tested: a text must not change when the preceding text does, and must
equal its result alone.
"""

import inspect
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from studio.inference.generate import plain_model
from studio.training.batching.packed_attention import set_row_lengths

Forward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Token ids and positions of one sequence, each 1 × length → the output of each token."""
BEFORE, TEXT = 24, 9
"""Tokens of the preceding text, and of the text that must not change."""
EXACT, ALIKE = 8, 0.1
"""Tolerances: multiples of the rounding error behind another text, and share of the standard deviation when alone."""


def supports_packing(model: Any) -> bool:
    """Whether several texts can share a row and be separated by positions alone, as transformers does."""
    plain = plain_model(model)
    if "position_ids" not in inspect.signature(type(plain.base_model).forward).parameters:
        return False
    return _are_independent(plain, lambda ids, at: plain(input_ids=ids, position_ids=at, use_cache=False).logits)


def supports_padding_free(plain: Any) -> bool:
    """Whether rows can be concatenated with our attention (packed_attention.py). Other layers may mix neighbors."""

    def forward(ids: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        begins = [*(at[0] == 0).nonzero().flatten().tolist(), at.shape[1]]
        set_row_lengths([end - begin for begin, end in pairwise(begins)])
        hidden: torch.Tensor = plain.base_model(input_ids=ids, position_ids=at, use_cache=False).last_hidden_state
        return hidden

    try:
        return _are_independent(plain, forward)
    finally:
        set_row_lengths(None)


def _are_independent(plain: Any, forward: Forward) -> bool:
    vocabulary, device = plain.config.get_text_config().vocab_size, plain.get_input_embeddings().weight.device
    tokens = torch.arange(2 * BEFORE + TEXT, device=device) * 7 % vocabulary
    first, second, text = tokens.split((BEFORE, BEFORE, TEXT))

    def output_for(*texts: torch.Tensor) -> torch.Tensor:
        at = torch.cat([torch.arange(len(each), device=device) for each in texts])
        return forward(torch.cat(texts)[None], at[None])[0, -TEXT:]

    plain.eval()
    with torch.no_grad():
        behind_one, behind_other, alone = output_for(first, text), output_for(second, text), output_for(text)
    rounding = EXACT * torch.finfo(alone.dtype).eps * float(alone.abs().max())
    return (
        float((behind_one - behind_other).abs().max()) <= rounding
        and float((behind_one - alone).abs().max()) <= ALIKE * float(alone.float().std()) + rounding
    )
