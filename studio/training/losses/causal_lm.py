"""The loss of a causal model at the positions that are learned, and at no other.

A model's own forward makes logits of every position, prompt and padding included, and keeps them for the way back:
with a vocabulary of 50,000 that is as much memory, and a third of the time, as everything else together.
"""

import functools
import types
from typing import Any

import torch
from torch.nn import functional as F

from studio.tasks.base import IGNORE_INDEX
from studio.training.batching.collators import PARTS, lengths_in
from studio.training.batching.packed_attention import set_rows

INPUTS = ("input_ids", "inputs_embeds", "past_key_values", "position_ids")
"""What a model can be given to read: tokens, or their embeddings and a memory, as peft does with virtual tokens."""
CHUNK_NUMBERS = 2**24
"""Logits held at once: positions in a chunk times the vocabulary."""


class LearnedLoss(torch.autograd.Function):
    """Sum of the cross entropy of `labels`, in chunks; gradients are made at once, while the logits are there."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
    ) -> torch.Tensor:
        for_hidden, for_weight, for_bias, _ = ctx.needs_input_grad
        backward = for_hidden or for_weight or for_bias
        grad_hidden = torch.empty_like(hidden) if for_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if for_weight else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if for_bias and bias is not None else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        size = max(16, CHUNK_NUMBERS // weight.shape[0])
        for start in range(0, len(labels), size):
            part, wanted = hidden[start : start + size], labels[start : start + size, None]
            logits = F.linear(part, weight, bias).float()
            norm = logits.logsumexp(-1, keepdim=True)
            total += (norm - logits.gather(1, wanted)).sum()
            if not backward:
                continue
            logits.sub_(norm).exp_().scatter_add_(1, wanted, torch.full_like(norm, -1.0))
            error = logits.to(part.dtype)
            if grad_hidden is not None:
                grad_hidden[start : start + size] = error @ weight
            if grad_weight is not None:
                grad_weight += error.T @ part
            if grad_bias is not None:
                grad_bias += logits.sum(0)
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.dtypes = weight.dtype, bias.dtype if bias is not None else None
        return total

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        hidden, weight, bias = ctx.saved_tensors
        return (
            None if hidden is None else hidden.mul_(grad.to(hidden.dtype)),
            None if weight is None else weight.mul_(grad).to(ctx.dtypes[0]),
            None if bias is None else bias.mul_(grad).to(ctx.dtypes[1]),
            None,
        )


def has_plain_head(model: Any) -> bool:
    """Whether logits are nothing but the head's product: no scaling, no capping, no mixture's extra loss."""
    config = model.config.get_text_config()
    special = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")
    if any(getattr(config, name, None) not in (None, 1, 1.0) for name in special):
        return False
    return not hasattr(config, "output_router_logits") and type(model.get_output_embeddings()) is torch.nn.Linear


def add_learned_loss(model: Any, end_to_end: bool) -> None:
    """Let `model(..., learned_loss=True, labels=…)` give the summed loss and the number of learned tokens.

    Rows are padded on the right, and laid end to end for computing where the model can (`end_to_end`). The backbone is
    still called through the model's forward, so that wrappers (PEFT, data parallel) see the call.
    """
    plain = model.forward

    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, learned_loss: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        set_rows(None)
        if not learned_loss:
            return plain(*args, **kwargs) if labels is None else plain(*args, labels=labels, **kwargs)
        if end_to_end:
            hidden, wanted = end_to_end_states(
                self, kwargs["input_ids"], kwargs["attention_mask"], labels, kwargs.get(PARTS)
            )
        else:  # attention looks to the left, so padding on the right needs no mask
            given = {name: kwargs[name] for name in INPUTS if kwargs.get(name) is not None}
            hidden, wanted = self.base_model(**given, use_cache=False).last_hidden_state, labels
        hidden, wanted = hidden[:, :-1].reshape(-1, hidden.shape[-1]), wanted[:, 1:].flatten()
        learned = (wanted != IGNORE_INDEX).nonzero().squeeze(1)
        head = self.get_output_embeddings()
        loss = LearnedLoss.apply(
            hidden.index_select(0, learned), head.weight, head.bias, wanted.index_select(0, learned)
        )
        return {"loss": loss, "tokens": len(learned)}

    model.forward = types.MethodType(forward, model)


def end_to_end_states(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor, parts: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states and labels of the rows in one sequence, without padding; rows of several documents are so many."""
    lengths = mask.sum(1).tolist() if parts is None else lengths_in(parts)
    real = mask.bool()
    labels = labels.clone()
    labels[:, 0] = IGNORE_INDEX  # nothing stands before it but another row
    positions = torch.cat([torch.arange(length, device=ids.device) for length in lengths])
    set_rows(lengths)
    found = model.base_model(input_ids=ids[real][None], position_ids=positions[None], use_cache=False)
    return found.last_hidden_state, labels[real][None]
