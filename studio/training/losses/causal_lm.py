"""The loss of a causal model, computed only at trained positions.

A model's own forward computes the logits of every position, including prompt and padding, and keeps them for the
backward pass. With a vocabulary of 50,000 they take as much memory as everything else together, and a third of the
time.
"""

import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from studio.tasks.base import IGNORE_INDEX
from studio.training.batching.collators import PARTS, document_lengths
from studio.training.batching.packed_attention import set_row_lengths

INPUTS = ("input_ids", "inputs_embeds", "past_key_values", "position_ids")
"""Inputs of a model: tokens, or their embeddings and key-value cache, as peft passes them with virtual tokens."""
CHUNK_LOGITS = 2**24
"""Logits computed at a time: positions in a chunk times the vocabulary."""


class ChunkedCrossEntropy(torch.autograd.Function):
    """Sum of the cross entropy over `labels`, in chunks. Gradients are computed in the forward pass, while the logits
    exist.

    `hidden` is positions × hidden size, `weight` vocabulary × hidden size, `labels` positions.
    """

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
        size = max(16, CHUNK_LOGITS // weight.shape[0])
        for start in range(0, len(labels), size):
            part, targets = hidden[start : start + size], labels[start : start + size, None]
            logits = F.linear(part, weight, bias).float()
            log_sum = logits.logsumexp(-1, keepdim=True)
            total += (log_sum - logits.gather(1, targets)).sum()
            if not backward:
                continue
            logits.sub_(log_sum).exp_().scatter_add_(1, targets, torch.full_like(log_sum, -1.0))
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
    """Whether the logits are only the head's linear output: no scaling, no soft cap, no router loss of experts."""
    config = model.config.get_text_config()
    scaling = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")
    if any(getattr(config, name, None) not in (None, 1, 1.0) for name in scaling):
        return False
    return not hasattr(config, "output_router_logits") and type(model.get_output_embeddings()) is torch.nn.Linear


def install_chunked_loss(model: Any, padding_free: bool) -> None:
    """Replace the forward of a model, so that `model(..., learned_loss=True, labels=…)` returns the summed loss and the
    number of trained tokens.

    Rows are padded on the right. With `padding_free` they are concatenated for the computation. The call goes through
    the model's forward, so that wrappers (PEFT, data parallel) see it.
    """

    def learned_loss(self: Any, labels: torch.Tensor, inputs: dict[str, Any]) -> dict[str, Any]:
        hidden, targets, learned = learned_states(self, labels, inputs, padding_free)
        head = self.get_output_embeddings()
        return {"loss": ChunkedCrossEntropy.apply(hidden, head.weight, head.bias, targets), "tokens": len(learned)}

    replace_forward(model, "learned_loss", learned_loss)


def replace_forward(model: Any, flag: str, compute: Callable[[Any, torch.Tensor, dict[str, Any]], Any]) -> None:
    """Have a call of the model with this flag return what `compute` returns for the model, the labels and the further
    inputs. Other calls stay as they are."""
    original = model.forward

    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, labels: Any = None, **kwargs: Any) -> Any:
        set_row_lengths(None)
        if kwargs.pop(flag, False):
            return compute(self, labels, kwargs)
        return original(*args, **kwargs) if labels is None else original(*args, labels=labels, **kwargs)

    model.forward = types.MethodType(forward, model)


def learned_states(
    model: Any, labels: torch.Tensor, inputs: dict[str, Any], padding_free: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of all trained tokens: the hidden states that predict them, the tokens, and their places among all predicted
    tokens of the batch."""
    if padding_free:
        hidden, targets = packed_states(model, inputs["input_ids"], inputs["attention_mask"], labels, inputs.get(PARTS))
    else:  # causal attention ignores later positions, so padding on the right needs no mask
        known = {name: inputs[name] for name in INPUTS if inputs.get(name) is not None}
        hidden, targets = model.base_model(**known, use_cache=False).last_hidden_state, labels
    hidden, targets = hidden[:, :-1].reshape(-1, hidden.shape[-1]), targets[:, 1:].flatten()
    learned = (targets != IGNORE_INDEX).nonzero().squeeze(1)
    return hidden.index_select(0, learned), targets.index_select(0, learned), learned


def packed_states(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor, parts: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states and labels of all rows in one sequence without padding. `parts` gives the lengths of packed
    documents."""
    lengths = mask.sum(1).tolist() if parts is None else document_lengths(parts)
    valid = mask.bool()
    labels = labels.clone()
    labels[:, 0] = IGNORE_INDEX  # only another row precedes the first token
    positions = torch.cat([torch.arange(length, device=ids.device) for length in lengths])
    set_row_lengths(lengths)
    output = model.base_model(input_ids=ids[valid][None], position_ids=positions[None], use_cache=False)
    return output.last_hidden_state, labels[valid][None]
