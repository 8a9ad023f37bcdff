"""LoRA: the base model is frozen, and low-rank matrices beside its linear layers are trained."""

from typing import Any

from studio.models.trainable_parameters import head_parameters, linear_shapes
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.training.methods.base import AdapterMethod, frozen_layer_problems
from studio.training.methods.layers import heads_to_save, linear_layers, task_type, transposed


class LoRA(AdapterMethod):
    """Trains a low-rank adapter on a frozen base model."""

    name = "lora"
    title = "LoRA"
    sentence = (
        "A small adapter learns beside the frozen model. Quick, light, and hard to do harm with. Pick it first, "
        "whatever the rows are."
    )
    term = "low-rank adaptation"
    family = "low-rank"
    cost = 1.0

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """A problem when the rank exceeds the width of the layers, or no trainable layer is left."""
        problems = frozen_layer_problems(model, config)
        shapes = linear_shapes(model, config.lora_targets == "attention", classify=False)
        widest = max((min(shape) for shape in shapes), default=model.hidden)
        if widest and config.lora_rank > widest:
            problems.append(
                StudioError(
                    "bad-setting",
                    "The adapter would be wider than the layers beside which it stands: full training learns more "
                    "for less.",
                    given=f"a rank of {config.lora_rank:,}",
                    valid=f"up to {widest:,}; 8 to 64 is usual",
                    field="lora_rank",
                )
            )
        return problems

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """Two matrices per layer, and a classifier's head."""
        shapes = linear_shapes(model, config.lora_targets == "attention", labels > 0, config.frozen_layers)
        return config.lora_rank * sum(rows + columns for rows, columns in shapes) + head_parameters(model, labels)

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """No gradient is needed below the lowest adapter."""
        return 1 - min(config.frozen_layers, model.layers) / max(model.layers, 1)

    def adapter(self, model: Any, config: TrainingConfig) -> Any:
        """The LoRA config for the selected linear layers."""
        from peft import LoraConfig

        values = {
            "task_type": task_type(model),
            "r": config.lora_rank,
            "lora_alpha": config.lora_alpha,
            "lora_dropout": config.lora_dropout,
            "target_modules": linear_layers(model, config.lora_targets == "attention", config.frozen_layers),
            "modules_to_save": heads_to_save(model),
            "fan_in_fan_out": transposed(model),
        }
        return LoraConfig(**{**values, **self.variant(model, config)})

    def variant(self, model: Any, config: TrainingConfig) -> dict[str, Any]:
        """Additional settings of a LoRA variant."""
        return {}
