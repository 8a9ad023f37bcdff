"""The registry of methods. A new method is one file and one line here."""

from studio.schema.errors import named
from studio.training.methods.base import Method
from studio.training.methods.dora import DoRA
from studio.training.methods.full import Full
from studio.training.methods.ia3 import IA3
from studio.training.methods.last_layers import LastLayers
from studio.training.methods.lora import LoRA
from studio.training.methods.lora_embeddings import LoRAEmbeddings
from studio.training.methods.prefix_tuning import PrefixTuning
from studio.training.methods.prompt_tuning import PromptTuning
from studio.training.methods.qlora import QLoRA
from studio.training.methods.rslora import RsLoRA

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        LoRA(),
        QLoRA(),
        Full(),
        DoRA(),
        RsLoRA(),
        LoRAEmbeddings(),
        LastLayers(),
        IA3(),
        PromptTuning(),
        PrefixTuning(),
    )
}
"""In the order of the page: the common ones first."""


def method_named(name: str) -> Method:
    """The method of that name. Raises a `StudioError` that suggests the most similar name."""
    return named(METHODS, name, "method", field="method")


__all__ = ["METHODS", "Method", "method_named"]
