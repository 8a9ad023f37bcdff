"""Full fine-tuning: all weights are trained."""

from collections.abc import Sequence
from typing import Any

from studio.machine.facts import MachineFacts
from studio.models.trainable_parameters import frozen_parameters, head_parameters
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.methods.base import (
    ALREADY_QUANTIZED,
    NO_LIMIT,
    SMALL_ENCODER,
    MethodDefaults,
    Rates,
    frozen_layer_problems,
)
from studio.training.methods.layers import freeze
from studio.training.methods.memory_floor import minimum_shortage

USUAL_UP_TO = 500_000_000
"""Encoders with up to this many parameters are trained fully unless the user chooses another method."""
MANY_ROWS = 1500
"""Number of rows from which a small encoder takes enough steps at half the rate, and memorizes fewer label errors."""


class Full(MethodDefaults):
    """All weights are trained."""

    name = "full"
    title = "Full"
    sentence = (
        "Trains all weights of the model, which needs much memory. Choose it for small encoders, and for other models "
        "only when an adapter is not good enough."
    )
    term = "full fine-tuning"
    result = "model"
    settings: Sequence[str] = ("layer_decay", "head_first", "dropout", "frozen_layers")
    continues = "model"
    trains_base_weights = True
    always_exact = True
    lighter = "lora"
    cost = 1.3
    rates: Rates = (
        (500_000_000, 5e-5, "usual for all weights of a small model"),
        (NO_LIMIT, 2e-5, "usual for all weights of a model"),
    )

    def is_usual_for(self, model: ModelInfo) -> bool:
        """Small encoders are trained fully."""
        return model.kind == "encoder" and model.parameters <= USUAL_UP_TO and not model.quantized

    def learning_rate(self, model: ModelInfo, has_labels: bool, rows: int) -> tuple[float, str]:
        """Higher for small encoders with labels, and lower again if there are many rows."""
        if not has_labels or model.parameters >= SMALL_ENCODER:
            return super().learning_rate(model, has_labels, rows)
        if rows > MANY_ROWS:
            return 1e-4, "usual for a small encoder with many rows"
        return 2e-4, "small encoders allow a higher rate than large ones"

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Unavailable for quantized models, and when the memory does not suffice with any sharding and any
        optimizer."""
        if model.quantized:
            return ALREADY_QUANTIZED
        shortage = minimum_shortage(model.parameters, machine)
        return f"Full fine-tuning of this model needs at least {shortage}. LoRA needs far less." if shortage else ""

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
