"""IA³: the base model is frozen, and factors that scale the activations of attention and feed-forward layers are
trained."""

from collections.abc import Sequence
from typing import Any

from studio.models.trainable_parameters import head_parameters, key_width
from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo
from studio.training.methods.base import NO_LIMIT, AdapterMethod, Rates
from studio.training.methods.layers import heads_to_save, linear_layers, task_type, transposed

INNER = ("mlp", "ffn", "feed_forward", "feedforward", "output.dense", "fc2", "wo")
"""Parts of the names of feed-forward layers."""


class IA3(AdapterMethod):
    """Trains a factor for each channel."""

    name = "ia3"
    title = "IA³"
    sentence = (
        "Trains only factors that scale the model's activations: a file of kilobytes and little risk of overfitting. "
        "Choose it for few rows and a change of style, or for many small variants of one model."
    )
    term = "infused adapter by inhibiting and amplifying inner activations"
    combines_as = "ia3"
    averages = True
    exact: Sequence[str] = ("ia3_l",)
    cost = 0.75
    epoch_factor = 1.5
    rates: Rates = (
        (2_000_000_000, 1e-2, "IA³ trains few parameters, which need a high rate"),
        (NO_LIMIT, 5e-3, "IA³ trains few parameters, which need a high rate"),
    )

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """Keys, values and the inner side of the feed-forward layer in each layer, and a classifier's head."""
        return model.layers * (2 * key_width(model) + model.intermediate) + head_parameters(model, labels)

    def adapter(self, model: Any, config: TrainingConfig) -> Any:
        """PEFT's selection of layers for known architectures, otherwise all linear layers."""
        from peft import IA3Config
        from peft.utils.constants import (
            TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEED_FORWARD,
        )
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as TARGETS

        model_type = model.config.get_text_config().model_type
        targets = list(TARGETS[model_type]) if model_type in TARGETS else linear_layers(model)
        inner = list(FEED_FORWARD[model_type]) if model_type in FEED_FORWARD else _narrowing(model, targets)
        return IA3Config(
            task_type=task_type(model),
            target_modules=targets,
            feedforward_modules=inner,
            modules_to_save=heads_to_save(model),
            fan_in_fan_out=transposed(model),
        )


def _narrowing(model: Any, targets: list[str]) -> list[str]:
    """Feed-forward layers that project back to the model's width. IA³ scales their input."""
    narrowing = [
        name
        for name, layer in model.named_modules()
        if any(part in name.lower() for part in INNER)
        and getattr(layer, "in_features", 0) > getattr(layer, "out_features", 0)
    ]
    return [each for each in targets if any(f".{name}".endswith(f".{each}") for name in narrowing)]
