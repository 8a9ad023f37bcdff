"""QLoRA: LoRA on a base model quantized to 4 bits (NF4) or 8 bits (int8) by bitsandbytes. Runs on CPUs too."""

from collections.abc import Sequence

from studio.machine.facts import MachineFacts
from studio.machine.packages import is_installed
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
        "Like LoRA, with the model quantized to 4 or 8 bits during training: a third or half of the memory. Choose it "
        "for models that would not fit otherwise. Chat and export use the model without quantization."
    )
    term = "low-rank adaptation on a base model quantized to 4-bit NF4 or 8-bit integers"
    settings: Sequence[str] = (*LoRA.settings, "quantization")
    continues = "lora"
    combines_as = "qlora"
    quantized = True
    lighter = ""
    cost = 1.15

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Needs bitsandbytes and a model that it can quantize."""
        if not is_installed("bitsandbytes"):
            return "The library bitsandbytes, which quantizes models, is not installed."
        if model.quantized:
            return "This model is already quantized. LoRA on it does the same as QLoRA on other models."
        if model.kind == "encoder":
            return "QLoRA is for models that write text. For this model, LoRA and full fine-tuning need little memory."
        if any(part in model.architecture.lower() for part in FUSED_EXPERTS):
            return "bitsandbytes can't quantize this model: its experts are stored in one tensor. Use LoRA."
        if model.hidden % BLOCK_SIZE:
            return f"This model can't be quantized to 4 bits: its width {model.hidden} is no multiple of {BLOCK_SIZE}."
        return ""
