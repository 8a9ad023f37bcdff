"""Prefix tuning: trains keys and values that precede the text in every attention layer."""

from typing import Any

from studio.models.trainable_parameters import key_width
from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo
from studio.training.methods.layers import task_type
from studio.training.methods.prompts import VirtualTokens


class PrefixTuning(VirtualTokens):
    """A trained key-value prefix in every layer."""

    name = "prefix-tuning"
    title = "Prefix tuning"
    sentence = (
        "Like prompt tuning, but in every layer: stronger and still tiny. It starts worse than the base model and "
        "needs many epochs to catch up. Choose it for large models whose weights must not change."
    )
    term = "prefix tuning"
    supports_checkpointing = False
    cost = 0.75

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """A key and a value per virtual token and layer. Narrower where heads share keys."""
        return config.virtual_tokens * model.layers * 2 * key_width(model)

    def adapter(self, model: Any, config: TrainingConfig) -> Any:
        """Keys and values, without a network that generates them."""
        from peft import PrefixTuningConfig

        return PrefixTuningConfig(task_type=task_type(model), num_virtual_tokens=config.virtual_tokens)

    def wrap(self, model: Any, config: TrainingConfig) -> Any:
        """Initialize the prefix with the keys and values of random tokens. Random numbers would degrade the model
        for long."""
        import torch
        from peft import initialize_kv_prefix_from_past_key_values

        words = torch.randint(0, model.config.get_text_config().vocab_size, (1, config.virtual_tokens))
        wrapped = super().wrap(model, config)
        with torch.no_grad():
            cache = model(input_ids=words.to(model.device), use_cache=True).past_key_values
        initialize_kv_prefix_from_past_key_values(
            wrapped, past_key_values=cache, num_virtual_tokens=config.virtual_tokens
        )
        return wrapped
