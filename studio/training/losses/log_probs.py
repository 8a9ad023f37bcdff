"""Log-probabilities of the trained tokens under a causal model, from which DPO and KTO compute their rewards.

TRL's trainers ask the model for the log-probability of each token (`fused_lm_head=True`), and on a CPU compute the
logits of every position for it. Here only trained positions are computed, without padding if the model allows it, and
the gradient is computed while the logits exist.
"""

import functools
import types
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from studio.tasks.base import IGNORE_INDEX
from studio.training.batching.packed_attention import set_row_lengths
from studio.training.losses.causal_lm import CHUNK_LOGITS, INPUTS, packed_states


@dataclass
class TokenStatistics:
    """The output that TRL expects. A dataclass, so that data parallel finds the tensors that the backward pass
    starts from."""

    log_probs: torch.Tensor
    entropy: torch.Tensor
    mean_logits: torch.Tensor
    is_top1: torch.Tensor
    aux_loss: None = None


class TokenLogProbs(torch.autograd.Function):
    """Log-probability of each of `labels`, in chunks, for a frozen head."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
    ) -> torch.Tensor:
        needs_gradient = ctx.needs_input_grad[0]
        grad = torch.empty_like(hidden) if needs_gradient else None
        log_probs = torch.empty(len(labels), dtype=torch.float32, device=hidden.device)
        size = max(16, CHUNK_LOGITS // weight.shape[0])
        for start in range(0, len(labels), size):
            part, targets = hidden[start : start + size], labels[start : start + size, None]
            logits = F.linear(part, weight, bias).float()
            log_sum = logits.logsumexp(-1, keepdim=True)
            log_probs[start : start + size] = (logits.gather(1, targets) - log_sum).squeeze(1)
            if grad is None:
                continue
            logits.sub_(log_sum).exp_().neg_().scatter_add_(1, targets, torch.ones_like(log_sum))
            grad[start : start + size] = logits.to(part.dtype) @ weight
        ctx.save_for_backward(grad)
        return log_probs

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        (hidden,) = ctx.saved_tensors
        return None if hidden is None else hidden.mul_(grad.to(hidden.dtype)[:, None]), None, None, None


def token_log_probs(head: torch.nn.Linear, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log-probability of each label for any head. The logits of a trainable head are computed again in the backward
    pass."""
    if not head.weight.requires_grad:
        log_probs: torch.Tensor = TokenLogProbs.apply(hidden, head.weight, head.bias, labels)
        return log_probs
    size = max(16, CHUNK_LOGITS // head.out_features)
    parts = [
        checkpoint(_chunk_log_probs, head, hidden[at : at + size], labels[at : at + size], use_reentrant=False)
        for at in range(0, len(labels), size)
    ]
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)


def _chunk_log_probs(head: torch.nn.Linear, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Calls the head as a module, since several processes may have to gather its weights."""
    return -F.cross_entropy(head(hidden).float(), labels, reduction="none")


def install_log_probs(model: Any, padding_free: bool) -> None:
    """Replace the forward of a model, so that `model(..., fused_lm_head=True, labels=…)` returns the
    log-probabilities. Statistics that TRL only logs are zero."""
    original = model.forward

    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        set_row_lengths(None)
        if not fused_lm_head:
            return original(*args, **kwargs) if labels is None else original(*args, labels=labels, **kwargs)
        if padding_free:
            mask = kwargs["attention_mask"]
            hidden, targets = packed_states(self, kwargs["input_ids"], mask, labels)
            positions = mask.nonzero()
        else:  # causal attention ignores later positions, so padding on the right needs no mask
            inputs = {name: kwargs[name] for name in INPUTS if kwargs.get(name) is not None}
            hidden, targets = self.base_model(**inputs, use_cache=False).last_hidden_state, labels
            positions = None
        rows, width = labels.shape
        hidden, targets = hidden[:, :-1].reshape(-1, hidden.shape[-1]), targets[:, 1:].flatten()
        learned = (targets != IGNORE_INDEX).nonzero().squeeze(1)
        head = self.get_output_embeddings()
        log_probs = token_log_probs(head, hidden.index_select(0, learned), targets.index_select(0, learned))
        at = learned if positions is None else _matrix_positions(positions[1:], width).index_select(0, learned)
        matrix = log_probs.new_zeros(rows * (width - 1)).index_copy(0, at, log_probs).view(rows, width - 1)
        zeros = torch.zeros_like(matrix)
        return TokenStatistics(log_probs=matrix, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())

    model.forward = types.MethodType(forward, model)


def _matrix_positions(tokens: torch.Tensor, width: int) -> torch.Tensor:
    """Indices of the tokens (row, position) in the flattened matrix of rows × (width - 1).

    No token predicts the first token of a row, so it has no place in the matrix. It is never trained.
    """
    return tokens[:, 0] * (width - 1) + (tokens[:, 1] - 1).clamp(min=0)
