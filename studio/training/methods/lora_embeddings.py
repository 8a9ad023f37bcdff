"""LoRA with trained embeddings: the token embeddings are trained fully, for words that are new to the model."""

from typing import Any

from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo
from studio.training.methods.layers import heads_to_save
from studio.training.methods.lora import LoRA


class LoRAEmbeddings(LoRA):
    """LoRA, and trained token embeddings."""

    name = "lora-embeddings"
    title = "LoRA with embeddings"
    sentence = (
        "Like LoRA, and trains the word embeddings too. Choose it for a language or a field whose words the model "
        "hardly knows. The file is much larger."
    )
    term = "low-rank adaptation with trained embeddings (modules_to_save)"
    combines_as = ""
    learns_besides = "embeddings"
    lighter = "lora"
    cost = 1.1

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """LoRA's parameters, and the embedding table."""
        return super().learned(model, config, labels) + model.vocabulary * model.hidden

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """The embeddings precede the lowest layer."""
        return 1.0

    def variant(self, model: Any, config: TrainingConfig) -> dict[str, Any]:
        """Adds the embedding layer to the fully trained modules."""
        table = model.get_input_embeddings()
        names = [name.rsplit(".", 1)[-1] for name, part in model.named_modules() if part is table]
        return {"modules_to_save": [*(heads_to_save(model) or []), *names]}
