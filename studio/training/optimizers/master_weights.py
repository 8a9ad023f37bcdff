"""AdamW that keeps float32 copies of weights held in a shorter format.

A bfloat16 weight near 0.04 can't move by less than 0.00016, so plain AdamW on bfloat16 weights loses most updates at
small learning rates (docs/training.md: a loss of 3.34 where float32 reached 1.80). The copies cost memory only for
what is trained, which is little for an adapter. And a schedule-free AdamW that can be saved after any step.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim.adamw import adamw


class MasterAdamW(torch.optim.AdamW):
    """As `torch.optim.AdamW`, in float32 whatever the format of the weights."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step on the copies, which are then rounded into the weights."""
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
            short = [(weight, master) for weight, master in zip(weights, masters, strict=True) if weight is not master]
            if short:
                torch._foreach_copy_([_here(weight) for weight, _ in short], [_here(master) for _, master in short])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, which by itself would round the copies to the weights' format."""
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
    """The part of a tensor that is in this process, where several share it out."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def schedule_free(groups: Sequence[dict[str, Any]], **more: Any) -> Any:
    """schedulefree's AdamW, whose weights are the averaged ones between a step and the next `train()`.

    It learns at a point beside the average and leaves the weights there; whoever saves or checks would first have to
    call `eval()`, which the libraries do before a check alone. They call `train()` before each batch.
    """
    from schedulefree import AdamWScheduleFree

    made = AdamWScheduleFree(list(groups), **more)
    made.register_step_post_hook(lambda optimizer, *_: optimizer.eval())
    return made
