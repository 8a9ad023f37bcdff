"""Full fine-tuning: all weights are trained."""

from typing import Any

from studio.machine.facts import MachineFacts
from studio.models.trainable_parameters import frozen_parameters, head_parameters
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.methods.base import ALREADY_QUANTIZED, frozen_layer_problems
from studio.training.methods.layers import freeze
from studio.training.methods.memory_floor import minimum_shortage


class Full:
    """All weights are trained."""

    name = "full"
    title = "Full"
    sentence = (
        "Every weight of the model learns, which takes much memory. Pick it for small models, and for a large one only "
        "where an adapter falls short."
    )
    term = "full fine-tuning"
    result = "model"
    mergeable = False
    quantised = False
    family = "weights"
    supports_checkpointing = True
    keeps = 1.0
    cost = 1.3

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Unavailable for quantized models, and when the memory does not suffice with any sharding and any
        optimizer."""
        if model.quantised:
            return ALREADY_QUANTIZED
        shortage = minimum_shortage(model.parameters, machine)
        return f"Full training of this model needs at least {shortage}. LoRA needs far less." if shortage else ""

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """A problem when all layers are frozen."""
        return frozen_layer_problems(model, config)

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """All parameters except the frozen layers, and a classifier's head."""
        return model.parameters - frozen_parameters(model, config.frozen_layers) + head_parameters(model, labels)

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """The backward pass ends at the frozen layers."""
        return 1 - min(config.frozen_layers, model.layers) / max(model.layers, 1)

    def wrap(self, model: Any, config: TrainingConfig) -> Any:
        """Make all weights trainable except the frozen layers."""
        model.requires_grad_(True)
        freeze(model, config.frozen_layers)
        return model
