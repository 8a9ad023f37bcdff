"""DoRA: LoRA that trains the magnitude of each row of a weight separately from its direction."""

from collections.abc import Sequence
from typing import Any

from studio.models.trainable_parameters import linear_shapes
from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo
from studio.training.methods.lora import LoRA


class DoRA(LoRA):
    """LoRA with a magnitude for each row of a weight."""

    name = "dora"
    title = "DoRA"
    sentence = (
        "Like LoRA, but trains the length and the direction of the weights separately. Often slightly better at low "
        "ranks, but takes half as much time again. Choose it when LoRA comes close to your goal."
    )
    term = "weight-decomposed low-rank adaptation"
    combines_as = ""
    learns_besides = "weight magnitudes"
    lighter = "lora"
    exact: Sequence[str] = ("lora_magnitude_vector",)
    keeps = 1.75
    cost = 1.5

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """LoRA's parameters, and a magnitude for each row."""
        shapes = linear_shapes(model, config.lora_targets == "attention", labels > 0, config.frozen_layers)
        return super().learned(model, config, labels) + sum(rows for rows, _ in shapes)

    def variant(self, model: Any, config: TrainingConfig) -> dict[str, Any]:
        """Enables DoRA in PEFT."""
        return {"use_dora": True}
