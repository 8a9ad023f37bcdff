"""Which weights learn together, and how fast beside the rest: with and without decay, by layer, LoRA's second side."""

import math
from collections.abc import Collection
from typing import Any

from studio.models.trainable_parameters import layer_number
from studio.schema.config import TrainingConfig
from studio.training.methods.layers import layers_in

SECOND = "lora_B"
"""Part of the names of LoRA's second matrices, which begin at zero."""


def groups_of(model: Any, config: TrainingConfig, decayed: Collection[str]) -> list[dict[str, Any]]:
    """Groups for an optimizer; the first one learns at the rate that was set, or nearest to it."""
    learned = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    layers = layers_in(model) if config.layer_decay < 1 else 0
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, weight in learned:
        share, decays = rate_share(name, config, layers), name in decayed
        group = groups.setdefault((share, decays), {"params": [], "lr": config.learning_rate * share})
        group["params"].append(weight)
        if not decays:
            group["weight_decay"] = 0.0
    return [groups[key] for key in sorted(groups, key=lambda key: (abs(math.log(key[0])), not key[1]))]


def rate_share(name: str, config: TrainingConfig, layers: int) -> float:
    """What a weight's rate is, beside the one that was set."""
    share = config.loraplus_ratio if SECOND in name else 1.0
    if config.layer_decay < 1:
        number = layer_number(name)
        if number is not None:
            share *= config.layer_decay ** max(layers - 1 - number, 0)
        elif any(part in name.lower() for part in ("embed", "wte", "wpe")):
            share *= config.layer_decay**layers
    return share
