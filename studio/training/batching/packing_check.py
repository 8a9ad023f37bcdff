"""Whether texts laid end to end stay apart: some models look past the bounds that positions draw, or carry a memory.

It is tried, since no name of an architecture tells it: what comes before a text is changed, and the text must not
notice; and it must come out as it does alone.
"""

import inspect
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch

from studio.inference.generate import plain_model
from studio.training.batching.packed_attention import set_rows

Ask = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Tokens and positions of one sequence → what the model makes of each token."""
BEFORE, TEXT = 24, 9
"""Tokens of the text that stands before, and of the one that must not notice."""
EXACT, ALIKE = 8, 0.1
"""Roundings by which the same text may differ behind another one; and by how much of its spread from itself alone."""


def shares_rows(model: Any) -> bool:
    """Whether several texts can be one row, told apart by their positions alone, as transformers does."""
    plain = plain_model(model)
    if "position_ids" not in inspect.signature(type(plain.base_model).forward).parameters:
        return False
    return _stay_apart(plain, lambda ids, at: plain(input_ids=ids, position_ids=at, use_cache=False).logits)


def lies_end_to_end(plain: Any) -> bool:
    """Whether rows can be laid end to end with our attention (by_rows): other layers may look at their neighbours."""

    def ask(ids: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        begins = [*(at[0] == 0).nonzero().flatten().tolist(), at.shape[1]]
        set_rows([end - begin for begin, end in pairwise(begins)])
        found: torch.Tensor = plain.base_model(input_ids=ids, position_ids=at, use_cache=False).last_hidden_state
        return found

    try:
        return _stay_apart(plain, ask)
    finally:
        set_rows(None)


def _stay_apart(plain: Any, ask: Ask) -> bool:
    words, device = plain.config.get_text_config().vocab_size, plain.get_input_embeddings().weight.device
    tokens = torch.arange(2 * BEFORE + TEXT, device=device) * 7 % words
    one, other, text = tokens.split((BEFORE, BEFORE, TEXT))

    def of(*texts: torch.Tensor) -> torch.Tensor:
        at = torch.cat([torch.arange(len(each), device=device) for each in texts])
        return ask(torch.cat(texts)[None], at[None])[0, -TEXT:]

    plain.eval()
    with torch.no_grad():
        behind_one, behind_other, alone = of(one, text), of(other, text), of(text)
    rounding = EXACT * torch.finfo(alone.dtype).eps * float(alone.abs().max())
    return (
        float((behind_one - behind_other).abs().max()) <= rounding
        and float((behind_one - alone).abs().max()) <= ALIKE * float(alone.float().std()) + rounding
    )
