"""IA³: the base is frozen, and learns by how much to scale what flows through attention and feed-forward layers."""

from typing import Any, ClassVar

from studio.models.trainable_parameters import head_parameters, key_width
from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo
from studio.training.methods.base import Adapting
from studio.training.methods.layers import heads_to_save, linear_layers, task_type, transposed

INNER = ("mlp", "ffn", "feed_forward", "feedforward", "output.dense", "fc2", "wo")
"""Parts of paths of feed-forward layers."""


class IA3(Adapting):
    """A factor for each channel learns."""

    name = "ia3"
    title = "IA³"
    sentence = (
        "Only learns by how much to scale what flows through the model: a file of kilobytes and the least to learn by "
        "heart. Pick it for few rows and a change of tone, or for many small variants of one model."
    )
    term = "infused adapter by inhibiting and amplifying inner activations"
    family = "scales"
    exact: ClassVar = ("ia3_l",)
    cost = 0.75

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """Keys, values and the inner side of the feed-forward, in each layer; a classifier's head besides."""
        return model.layers * (2 * key_width(model) + model.intermediate) + head_parameters(model, labels)

    def adapter(self, model: Any, config: TrainingConfig) -> Any:
        """PEFT's own choice of layers for the architectures it knows, else all linear ones."""
        from peft import IA3Config
        from peft.utils.constants import (
            TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEED_FORWARD,
        )
        from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as TARGETS

        kind = model.config.get_text_config().model_type
        targets = list(TARGETS[kind]) if kind in TARGETS else linear_layers(model)
        inner = list(FEED_FORWARD[kind]) if kind in FEED_FORWARD else _narrowing(model, targets)
        return IA3Config(
            task_type=task_type(model),
            target_modules=targets,
            feedforward_modules=inner,
            modules_to_save=heads_to_save(model),
            fan_in_fan_out=transposed(model),
        )


def _narrowing(model: Any, targets: list[str]) -> list[str]:
    """Feed-forward layers that lead back to the model's width: they are scaled on the way in."""
    wide = [
        name
        for name, layer in model.named_modules()
        if any(part in name.lower() for part in INNER)
        and getattr(layer, "in_features", 0) > getattr(layer, "out_features", 0)
    ]
    return [each for each in targets if any(f".{name}".endswith(f".{each}") for name in wide)]
