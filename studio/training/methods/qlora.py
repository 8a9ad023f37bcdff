"""QLoRA: LoRA on a base model quantized to 4 bits (NF4) or 8 bits (int8) by bitsandbytes. Runs on CPUs too."""

from collections.abc import Sequence
from importlib.util import find_spec

from studio.machine.facts import MachineFacts
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.methods.lora import LoRA

BLOCK_SIZE = 64
"""Number of weights that share a scale in 4-bit quantization."""
FUSED_EXPERTS = ("moe", "mixtral", "gptoss", "dbrx")
"""Parts of the names of architectures that store their experts in one tensor, which bitsandbytes can't quantize."""


class QLoRA(LoRA):
    """LoRA on a base model quantized to 4 or 8 bits."""

    name = "qlora"
    title = "QLoRA"
    sentence = (
        "As LoRA, with the model held in 4 or 8 bits while it learns: a third or half of the memory. Pick it for "
        "models that would not fit otherwise. Afterwards it chats and exports on the full-size model."
    )
    term = "low-rank adaptation on a base quantised to 4-bit NF4 or 8-bit integers"
    settings: Sequence[str] = (*LoRA.settings, "quantisation")
    continues = "lora"
    combines_as = "qlora"
    quantised = True
    lighter = ""
    cost = 1.15

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Needs bitsandbytes and a model that it can quantize."""
        if find_spec("bitsandbytes") is None:
            return "The library bitsandbytes is not installed; it holds models in 4 or 8 bits."
        if model.quantised:
            return "This model is held in few bits already: LoRA on it is what QLoRA is on others."
        if model.kind == "encoder":
            return "QLoRA is for models that write text. This one is small: LoRA and full training need little memory."
        if any(part in model.architecture.lower() for part in FUSED_EXPERTS):
            return "bitsandbytes can't shorten this model: its experts are held in one block. LoRA can."
        if model.hidden % BLOCK_SIZE:
            return f"This model can't be held in 4 bits: its width, {model.hidden}, is no multiple of {BLOCK_SIZE}."
        return ""
