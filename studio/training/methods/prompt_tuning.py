"""Prompt tuning: trains the embeddings of virtual tokens that precede every text."""

from typing import Any

from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo
from studio.training.methods.layers import task_type
from studio.training.methods.prompts import VirtualTokens


class PromptTuning(VirtualTokens):
    """Trained virtual tokens before the text."""

    name = "prompt-tuning"
    title = "Prompt tuning"
    sentence = (
        "Trains a few virtual tokens before every text, and leaves the model unchanged. The file is the smallest, and "
        "it learns the least. Choose it for large models and one simple task. It needs many epochs."
    )
    term = "prompt tuning (soft prompts)"
    cost = 0.8

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """One embedding per virtual token."""
        return config.virtual_tokens * model.hidden

    def adapter(self, model: Any, config: TrainingConfig) -> Any:
        """Initialized with random tokens of the vocabulary, using the run's seed."""
        from peft import PromptTuningConfig, PromptTuningInit

        return PromptTuningConfig(
            task_type=task_type(model),
            num_virtual_tokens=config.virtual_tokens,
            prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB,
        )
