"""The interface of a method: when it is available, which parameters it trains, and how it prepares a model."""

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from studio.machine.facts import MachineFacts
from studio.models.trainable_parameters import shares_layers
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.optimizers import OPTIMIZERS


class Method(Protocol):
    """A training method. Imports no torch at module level."""

    name: str
    title: str
    sentence: str
    """How it trains, and when to choose it."""
    term: str
    result: str
    """`adapter` or `model`: what is saved as the result."""
    mergeable: bool
    """Whether the result can be merged into a model without an adapter."""
    quantised: bool
    """Whether the base model is loaded quantized."""
    family: str
    """Which learning rates suit it: `low-rank`, `scales`, `prompts`, `last` or `weights`."""
    supports_checkpointing: bool
    """Whether it supports gradient checkpointing."""
    keeps: float
    """Memory of activations per layer, relative to LoRA."""
    cost: float
    """Time of a step relative to LoRA (training.md, 5)."""

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Why it can't be used with this model on this machine. Empty when it can."""
        ...

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """All settings that conflict with this method on this model."""
        ...

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """The number of trainable parameters. `labels` is the number of labels of a classifier, 0 for generated
        text."""
        ...

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """Share of the layers that the backward pass goes through, and whose activations are kept."""
        ...

    def wrap(self, model: Any, config: TrainingConfig) -> Any:
        """The loaded model, prepared for training."""
        ...


def frozen_layer_problems(model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
    """A problem when no trainable layer is left."""
    if config.frozen_layers and shares_layers(model):
        return [
            StudioError(
                "bad-setting",
                "All layers of this model are one and the same: with the lowest all would be frozen.",
                given=f"{config.frozen_layers:,} layers frozen",
                valid="0",
                field="frozen_layers",
            )
        ]
    if not model.layers or config.frozen_layers < model.layers:
        return []
    return [
        StudioError(
            "bad-setting",
            "No layer would be left to learn.",
            given=f"{config.frozen_layers:,} of {model.layers:,} layers frozen",
            valid=f"up to {model.layers - 1:,}",
            field="frozen_layers",
        )
    ]


ALREADY_QUANTIZED = (
    "This model is held in few bits already, and such weights can't learn themselves. LoRA learns beside them."
)
"""Why the weights of a quantized model can't be trained themselves."""


class AdapterMethod:
    """Common parts of methods that train a PEFT adapter on a frozen base model."""

    result = "adapter"
    mergeable = True
    quantised = False
    supports_checkpointing = True
    keeps = 1.0
    exact: ClassVar[Sequence[str]] = ()
    """Parts of weight names that stay in float32: near 1, a bfloat16 changes by at least 1/128."""

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Always available: every model has linear layers."""
        return ""

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """No problems by default."""
        return []

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """The backward pass reaches the adapter of the lowest layer, so it goes through all."""
        return 1.0

    def adapter(self, model: Any, config: TrainingConfig) -> Any:
        """The PEFT config of the adapter."""
        raise NotImplementedError

    def wrap(self, model: Any, config: TrainingConfig) -> Any:
        """The model with an adapter in the model's number format."""
        import torch
        from peft import get_peft_model

        # The optimizer keeps float32 copies, so the adapter does not need float32 (which costs a fifth of the time).
        half = torch.cuda.is_available() and config.precision == "float16"
        with warnings.catch_warnings():
            # embeddings are trained separately from the head on purpose; merging handles it (inference/load.py)
            warnings.filterwarnings("ignore", ".*tie_word_embeddings")
            wrapped = get_peft_model(model, self.adapter(model, config), autocast_adapter_dtype=half)
        for name, weight in wrapped.named_parameters():
            learns = weight.requires_grad and not OPTIMIZERS[config.optimizer].masters
            if learns or any(part in name for part in self.exact):
                weight.data = weight.data.float()
        return wrapped
