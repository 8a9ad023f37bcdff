"""Full fine-tuning: every weight learns."""

from typing import Any

from studio.machine.facts import MachineFacts
from studio.models.trainable_parameters import frozen_parameters, head_parameters
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.methods.base import FEW_BITS, too_many_frozen
from studio.training.methods.layers import freeze
from studio.training.methods.memory_floor import too_much


class Full:
    """Every weight learns."""

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
    recomputes = True
    keeps = 1.0
    cost = 1.3

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Too large for the machine, however it is shared out and by whatever optimizer."""
        if model.quantised:
            return FEW_BITS
        much = too_much(model.parameters, machine)
        return f"Full training of this model needs at least {much}. LoRA needs far less." if much else ""

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """More frozen layers than there are above which something is left to learn."""
        return too_many_frozen(model, config)

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """All but the frozen layers, and a classifier's head."""
        return model.parameters - frozen_parameters(model, config.frozen_layers) + head_parameters(model, labels)

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """The way back ends at the frozen layers."""
        return 1 - min(config.frozen_layers, model.layers) / max(model.layers, 1)

    def wrap(self, model: Any, config: TrainingConfig) -> Any:
        """Nothing to wrap; all weights learn but those of the frozen layers."""
        model.requires_grad_(True)
        freeze(model, config.frozen_layers)
        return model
