"""Last layers: the top layers of the model are trained, the layers below are frozen."""

from collections.abc import Sequence
from typing import Any

from studio.machine.facts import MachineFacts
from studio.models.trainable_parameters import frozen_parameters, head_parameters, shares_layers
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError, bad_setting
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.methods.base import (
    ALREADY_QUANTIZED,
    NO_LIMIT,
    SMALL_ENCODER,
    Draft,
    MethodDefaults,
    Rates,
)
from studio.training.methods.layers import freeze, layers_in
from studio.training.methods.memory_floor import minimum_shortage


class LastLayers(MethodDefaults):
    """Trains only the last layers."""

    name = "last-layers"
    title = "Last layers"
    sentence = (
        "Trains all weights of the last layers only. Twice as fast as LoRA, and the lower layers stay unchanged. "
        "Choose it for classification, or when time is short. The result is a full model, as large as the base model."
    )
    term = "partial fine-tuning of the last layers"
    result = "model"
    settings: Sequence[str] = ("layer_decay", "dropout", "last_layers")
    continues = "model"
    trains_base_weights = True
    lighter = "lora"
    cost = 0.55
    rates: Rates = (
        (500_000_000, 2e-4, "the last layers alone allow a higher rate than all layers"),
        (NO_LIMIT, 5e-5, "the last layers alone allow a higher rate than all layers"),
    )

    def learning_rate(self, model: ModelInfo, has_labels: bool, rows: int) -> tuple[float, str]:
        """Higher for small encoders with labels."""
        if has_labels and model.parameters < SMALL_ENCODER:
            return 5e-4, "usual for the last layers of a small encoder"
        return super().learning_rate(model, has_labels, rows)

    def choose_size(self, draft: Draft) -> None:
        """A quarter of the layers, or half in a thorough run."""
        layers = max(1, round(draft.info.layers * (0.5 if draft.preset.epoch_factor > 1 else 0.25)))
        draft.put("last_layers", layers, f"The last {layers} of {draft.info.layers} layers are trained.")

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Available for models with one stack of layers, if the last layer fits into memory."""
        if model.quantized:
            return ALREADY_QUANTIZED
        if shares_layers(model):
            return "All layers of this model share their weights, so the last ones can't be trained alone. Use LoRA."
        if model.kind == "seq2seq":
            return (
                "This model is an encoder–decoder, which has no single stack of layers. Use LoRA or full fine-tuning."
            )
        shortage = minimum_shortage(
            model.parameters - frozen_parameters(model, max(model.layers - 1, 0), and_output=True), machine
        )
        return f"The last layer alone needs at least {shortage}. LoRA needs far less." if shortage else ""

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """A problem when more layers are requested than exist."""
        if not model.layers or config.last_layers <= model.layers:
            return []
        what = "The model has fewer layers than you want to train."
        return [bad_setting("last_layers", what, f"{config.last_layers:,} layers", f"up to {model.layers:,}")]

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """All parameters above the frozen layers, and a classifier's head."""
        frozen = frozen_parameters(model, max(model.layers - config.last_layers, 0), and_output=True)
        return model.parameters - frozen + head_parameters(model, labels)

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """The backward pass ends at the lowest trained layer."""
        return min(config.last_layers, model.layers) / max(model.layers, 1)

    def wrap(self, model: Any, config: TrainingConfig) -> Any:
        """Freeze everything but the last layers, the final norm, and a classifier's head."""
        model.requires_grad_(True)
        freeze(model, max(layers_in(model) - config.last_layers, 0))
        model.get_input_embeddings().requires_grad_(False)
        output = model.get_output_embeddings() if model.can_generate() else None
        if output is not None:
            output.requires_grad_(False)
        return model
