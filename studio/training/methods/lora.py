"""LoRA: the base model is frozen, and low-rank matrices beside its linear layers are trained."""

from collections.abc import Sequence
from typing import Any

from studio.models.trainable_parameters import has_experts, head_parameters, linear_shapes
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError, bad_setting
from studio.schema.models import ModelInfo
from studio.training.methods.base import NO_LIMIT, AdapterMethod, Draft, Rates, frozen_layer_problems
from studio.training.methods.layers import heads_to_save, linear_layers, task_type, transposed


class LoRA(AdapterMethod):
    """Trains a low-rank adapter on a frozen base model."""

    name = "lora"
    title = "LoRA"
    sentence = (
        "Trains a small adapter beside the frozen model. Fast, needs little memory, and rarely harms the model. Choose "
        "it for generative models and for large encoders."
    )
    term = "low-rank adaptation"
    settings: Sequence[str] = (
        "loraplus_ratio",
        "lora_rank",
        "lora_alpha",
        "lora_dropout",
        "lora_targets",
        "frozen_layers",
    )
    shape: Sequence[str] = ("lora_rank", "lora_alpha", "lora_targets", "frozen_layers")
    combines_as = "lora"
    has_rank = True
    lighter = "qlora"
    rates: Rates = (
        (500_000_000, 5e-4, "adapters of small models allow a high rate"),
        (2_000_000_000, 3e-4, "usual for the adapter of a model of this size"),
        (NO_LIMIT, 2e-4, "usual for the adapter of a large model"),
    )
    rank_factor = 1
    """Factor of the preset's rank."""
    rank_reason = ""
    """Why the rank is chosen so. Empty: by what the preset's rank can learn."""

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """A problem when the rank exceeds the width of the layers, or no trainable layer is left."""
        problems = frozen_layer_problems(model, config)
        shapes = linear_shapes(model, config.lora_targets == "attention", classify=False)
        widest = max((min(shape) for shape in shapes), default=model.hidden)
        if widest and config.lora_rank > widest:
            what = (
                "The rank is larger than the layers are wide. Full fine-tuning then learns more with fewer parameters."
            )
            given, valid = f"a rank of {config.lora_rank:,}", f"up to {widest:,}; 8 to 64 is usual"
            problems.append(bad_setting("lora_rank", what, given, valid))
        return problems

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """Two matrices per layer, and a classifier's head."""
        shapes = linear_shapes(model, config.lora_targets == "attention", labels > 0, config.frozen_layers)
        return config.lora_rank * sum(rows + columns for rows, columns in shapes) + head_parameters(model, labels)

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """No gradient is needed below the lowest adapter."""
        return 1 - min(config.frozen_layers, model.layers) / max(model.layers, 1)

    def choose_size(self, draft: Draft) -> None:
        """The preset's rank, at most the width of the narrowest layer."""
        widest = min((min(shape) for shape in linear_shapes(draft.info, False, False)), default=1024)
        rank = max(1, min(draft.preset.rank * self.rank_factor, widest))
        if has_experts(draft.info):
            draft.because.append("The experts of this model stay frozen. The adapter changes all other linear layers.")
        reason = self.rank_reason or f"enough for {draft.preset.rank_purpose}"
        draft.put("lora_rank", rank, f"Rank {rank}: {reason}.")
        draft.put("lora_alpha", self.usual_alpha(int(draft.values["lora_rank"])))

    def usual_alpha(self, rank: int) -> int:
        """Twice the rank."""
        return 2 * rank

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
