"""AdamW with float32 copies of weights in shorter formats.

A bfloat16 weight near 0.04 can't change by less than 0.00016, so AdamW on bfloat16 weights loses most updates at small
learning rates (docs/background/how-a-run-trains.md: a loss of 3.34 where float32 reached 1.80). The copies cost memory
only for trained weights, which are few in an adapter. Also a schedule-free AdamW that can be saved after any step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim.adamw import adamw


class MasterAdamW(torch.optim.AdamW):
    """As `torch.optim.AdamW`, computed in float32 for any format of the weights."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update the float32 copies, then round them into the weights."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            states = [self._state_of(weight) for weight in weights]
            masters = [state.get("master", weight) for weight, state in zip(weights, states, strict=True)]
            adamw(
                masters,
                [weight.grad.float() for weight in weights],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=all(weight.device.type in ("cpu", "cuda") for weight in weights),
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )
            rounded = [
                (weight, master) for weight, master in zip(weights, masters, strict=True) if weight is not master
            ]
            if rounded:
                torch._foreach_copy_([_here(weight) for weight, _ in rounded], [_here(master) for _, master in rounded])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch, which would round the copies to the format of the weights."""
        super().load_state_dict(state_dict)
        weights = [weight for group in self.param_groups for weight in group["params"]]
        numbers = [number for group in state_dict["param_groups"] for number in group["params"]]
        for number, weight in zip(numbers, weights, strict=True):
            for name, value in state_dict["state"].get(number, {}).items():
                self.state[weight][name] = value.to(device=weight.device, copy=True)

    def _state_of(self, weight: torch.Tensor) -> dict[str, Any]:
        state = self.state[weight]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=weight.device)
            state["exp_avg"] = torch.zeros_like(weight, dtype=torch.float32)
            state["exp_avg_sq"] = torch.zeros_like(weight, dtype=torch.float32)
            if weight.dtype != torch.float32:
                state["master"] = weight.detach().float()
        return state


def _here(tensor: Any) -> Any:
    """The local shard of a tensor, or the tensor itself."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def schedule_free(groups: Sequence[dict[str, Any]], **more: Any) -> Any:
    """AdamW of the package schedulefree. Between a step and the next `train()`, its weights are the averaged ones.

    The algorithm takes gradients at a point beside the average and leaves the weights there. Before saving or
    validating, `eval()` must be called, which the libraries do only before a validation. They call `train()` before
    each batch.
    """
    from schedulefree import AdamWScheduleFree

    optimizer = AdamWScheduleFree(list(groups), **more)
    optimizer.register_step_post_hook(lambda optimizer, *_: optimizer.eval())
    return optimizer
