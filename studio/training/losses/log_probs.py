"""How likely a causal model finds the tokens that are learned, and no others: what DPO and KTO are reckoned from.

TRL's trainers ask the model for the log-probability of each token (`fused_lm_head=True`) and on a CPU make logits of
every position for it. Here the same question is answered at learned positions alone, without padding where the model
can, and with the gradient made while the logits are there.
"""

import functools
import types
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from studio.tasks.base import IGNORE_INDEX
from studio.training.batching.packed_attention import set_rows
from studio.training.losses.causal_lm import CHUNK_NUMBERS, INPUTS, end_to_end_states


@dataclass
class Said:
    """What TRL wants to know. A dataclass, in which data parallel finds the tensors that the way back begins at."""

    log_probs: torch.Tensor
    entropy: torch.Tensor
    mean_logits: torch.Tensor
    is_top1: torch.Tensor
    aux_loss: None = None


class TokenLogProbs(torch.autograd.Function):
    """Log-probability of each of `labels`, in chunks, for a head that does not learn."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
    ) -> torch.Tensor:
        wanted_back = ctx.needs_input_grad[0]
        grad = torch.empty_like(hidden) if wanted_back else None
        found = torch.empty(len(labels), dtype=torch.float32, device=hidden.device)
        size = max(16, CHUNK_NUMBERS // weight.shape[0])
        for start in range(0, len(labels), size):
            part, wanted = hidden[start : start + size], labels[start : start + size, None]
            logits = F.linear(part, weight, bias).float()
            norm = logits.logsumexp(-1, keepdim=True)
            found[start : start + size] = (logits.gather(1, wanted) - norm).squeeze(1)
            if grad is None:
                continue
            logits.sub_(norm).exp_().neg_().scatter_add_(1, wanted, torch.ones_like(norm))
            grad[start : start + size] = logits.to(part.dtype) @ weight
        ctx.save_for_backward(grad)
        return found

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        (hidden,) = ctx.saved_tensors
        return None if hidden is None else hidden.mul_(grad.to(hidden.dtype)[:, None]), None, None, None


def token_log_probs(head: torch.nn.Linear, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The same for any head: one that learns has its logits computed a second time on the way back."""
    if not head.weight.requires_grad:
        found: torch.Tensor = TokenLogProbs.apply(hidden, head.weight, head.bias, labels)
        return found
    size = max(16, CHUNK_NUMBERS // head.out_features)
    parts = [
        checkpoint(_of_chunk, head, hidden[at : at + size], labels[at : at + size], use_reentrant=False)
        for at in range(0, len(labels), size)
    ]
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)


def _of_chunk(head: torch.nn.Linear, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The head itself is called, since several processes may have to bring its weights together again."""
    return -F.cross_entropy(head(hidden).float(), labels, reduction="none")


def add_log_probs(model: Any, end_to_end: bool) -> None:
    """Answer `model(..., fused_lm_head=True, labels=…)` so; what TRL merely reports besides is left at zero."""
    plain = model.forward

    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        set_rows(None)
        if not fused_lm_head:
            return plain(*args, **kwargs) if labels is None else plain(*args, labels=labels, **kwargs)
        if end_to_end:
            mask = kwargs["attention_mask"]
            hidden, wanted = end_to_end_states(self, kwargs["input_ids"], mask, labels)
            places = mask.nonzero()
        else:  # attention looks to the left, so padding on the right needs no mask
            given = {name: kwargs[name] for name in INPUTS if kwargs.get(name) is not None}
            hidden, wanted = self.base_model(**given, use_cache=False).last_hidden_state, labels
            places = None
        rows, width = labels.shape
        hidden, wanted = hidden[:, :-1].reshape(-1, hidden.shape[-1]), wanted[:, 1:].flatten()
        learned = (wanted != IGNORE_INDEX).nonzero().squeeze(1)
        head = self.get_output_embeddings()
        found = token_log_probs(head, hidden.index_select(0, learned), wanted.index_select(0, learned))
        at = learned if places is None else _targets(places[1:], width).index_select(0, learned)
        whole = found.new_zeros(rows * (width - 1)).index_copy(0, at, found).view(rows, width - 1)
        nothing = torch.zeros_like(whole)
        return Said(log_probs=whole, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool())

    model.forward = types.MethodType(forward, model)


def _targets(tokens: torch.Tensor, width: int) -> torch.Tensor:
    """Where the tokens of a sequence of rows (row, place) stand in the matrix of rows × (width - 1).

    The first token of a row is not foretold by the one before it, and has no place there; it is never learned.
    """
    return tokens[:, 0] * (width - 1) + (tokens[:, 1] - 1).clamp(min=0)
