"""Parameter groups and their learning rates: with and without weight decay, by layer, and LoRA's B matrices."""

import math
from collections.abc import Collection
from typing import Any

from studio.models.trainable_parameters import layer_number
from studio.schema.config import TrainingConfig
from studio.training.methods import method_named
from studio.training.methods.layers import layers_in

LORA_B = "lora_B"
"""Part of the names of LoRA's second matrices, which are initialized to zero."""


def parameter_groups(model: Any, config: TrainingConfig, decayed: Collection[str]) -> list[dict[str, Any]]:
    """Parameter groups for an optimizer. The first one has the configured learning rate, or the nearest to it."""
    trainable = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    if "layer_decay" not in method_named(config.method).settings:  # the plan says that it has no effect
        config = config.model_copy(update={"layer_decay": 1.0})
    layers = layers_in(model) if config.layer_decay < 1 else 0
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, weight in trainable:
        factor, decays = rate_factor(name, config, layers), name in decayed
        group = groups.setdefault((factor, decays), {"params": [], "lr": config.learning_rate * factor})
        group["params"].append(weight)
        if not decays:
            group["weight_decay"] = 0.0
    return [groups[key] for key in sorted(groups, key=lambda key: (abs(math.log(key[0])), not key[1]))]


def rate_factor(name: str, config: TrainingConfig, layers: int) -> float:
    """The factor of a weight's learning rate relative to the configured one."""
    factor = config.loraplus_ratio if LORA_B in name else 1.0
    if config.layer_decay < 1:
        number = layer_number(name)
        if number is not None:
            factor *= config.layer_decay ** max(layers - 1 - number, 0)
        elif any(part in name.lower() for part in ("embed", "wte", "wpe")):
            factor *= config.layer_decay**layers
    return factor
