"""A new head learns alone at first, so that what it gets wrong in its first steps upsets nothing below it."""

from typing import Any

from transformers import TrainerCallback

from studio.training.methods.layers import head_modules


class HeadFirst(TrainerCallback):
    """Keeps all other weights still for a share of the steps; by the step's number, so that a resumed run does too."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.below: list[Any] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Once the optimizer knows all weights that learn, sooner or later."""
        heads = tuple(f"{name}." for name in head_modules(model))
        self.below = [
            weight for name, weight in model.named_parameters() if weight.requires_grad and not name.startswith(heads)
        ]

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Still until the share is over; a weight without a gradient is left alone by every optimizer."""
        learn = state.global_step >= round(self.share * state.max_steps)
        for weight in self.below:
            weight.requires_grad_(learn)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """As they were found."""
        for weight in self.below:
            weight.requires_grad_(True)
