"""Trains a new head alone at first, so that its large initial errors do not change the layers below."""

from typing import Any

from transformers import TrainerCallback

from studio.training.methods.layers import head_modules


class HeadWarmup(TrainerCallback):
    """Freezes all other weights for a share of the steps. Based on the step's number, so that it survives a resume."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.frozen: list[Any] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Called after the optimizer has been created with all weights."""
        heads = tuple(f"{name}." for name in head_modules(model))
        self.frozen = [
            weight for name, weight in model.named_parameters() if weight.requires_grad and not name.startswith(heads)
        ]

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Freeze until the share is over. Optimizers skip weights without a gradient."""
        trainable = state.global_step >= round(self.share * state.max_steps)
        for weight in self.frozen:
            weight.requires_grad_(trainable)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Make the weights trainable again."""
        for weight in self.frozen:
            weight.requires_grad_(True)
