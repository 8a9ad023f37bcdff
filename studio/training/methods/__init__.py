"""The registry of methods. A new method is one file and one line here, or an installed plugin."""

from studio.machine.plugins import Registry, members_of
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

METHODS: Registry[Method] = Registry(
    "methods",
    (
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
    ),
    name_of=lambda method: method.name,
    needs=members_of(Method),
)
"""In the order of the page: the common ones first."""


def method_named(name: str) -> Method:
    """The method of that name. Raises a `StudioError` that suggests the most similar name."""
    return named(METHODS, name, "method", field="method")


def trains_base_weights(name: str) -> bool:
    """Whether a method trains weights of the base model itself. False for an unknown name, reported elsewhere."""
    return name in METHODS and METHODS[name].trains_base_weights


def has_rank(name: str) -> bool:
    """Whether a method trains low-rank matrices. False for an unknown name."""
    return name in METHODS and METHODS[name].has_rank


def learns_virtual_tokens(name: str) -> bool:
    """Whether a method trains virtual tokens. False for an unknown name."""
    return name in METHODS and METHODS[name].learns_virtual_tokens


def quantizes_base(name: str) -> bool:
    """Whether a method trains on a quantized copy of the base model. False for an unknown name."""
    return name in METHODS and METHODS[name].quantized
