"""Log-probabilities of the trained tokens under a causal model, from which DPO and KTO compute their rewards.

TRL's trainers ask the model for the log-probability of each token (`fused_lm_head=True`), and on a CPU compute the
logits of every position for it. Here only trained positions are computed, without padding if the model allows it, and
the gradient is computed while the logits exist.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from studio.training.losses.causal_lm import CHUNK_LOGITS, learned_states, replace_forward


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

    def statistics(self: Any, labels: torch.Tensor, inputs: dict[str, Any]) -> TokenStatistics:
        hidden, targets, at = learned_states(self, labels, inputs, padding_free)
        log_probs = token_log_probs(self.get_output_embeddings(), hidden, targets)
        rows, width = labels.shape
        if padding_free:
            at = _matrix_positions(inputs["attention_mask"].nonzero()[1:], width).index_select(0, at)
        matrix = log_probs.new_zeros(rows * (width - 1)).index_copy(0, at, log_probs).view(rows, width - 1)
        zeros = torch.zeros_like(matrix)
        return TokenStatistics(log_probs=matrix, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())

    replace_forward(model, "fused_lm_head", statistics)


def _matrix_positions(tokens: torch.Tensor, width: int) -> torch.Tensor:
    """Indices of the tokens (row, position) in the flattened matrix of rows × (width - 1).

    No token predicts the first token of a row, so it has no place in the matrix. It is never trained.
    """
    return tokens[:, 0] * (width - 1) + (tokens[:, 1] - 1).clamp(min=0)
