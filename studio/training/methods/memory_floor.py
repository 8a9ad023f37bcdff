"""The minimum memory of trainable weights: with the smallest optimizer state, sharded over all GPUs.

training/planning/memory_model.py estimates the memory of given settings. This is the minimum under any settings.
"""

from studio.machine.deepspeed import why_no_deepspeed
from studio.machine.facts import MachineFacts
from studio.schema.numbers import memory
from studio.training.optimizers import OPTIMIZERS

BYTES_ALONE = 4 + 4 + min(each.state_bytes for each in OPTIMIZERS.values())
"""Bytes per weight in one process: the weight and its gradient in float32, and the smallest optimizer state."""
BYTES_SHARDED = 2 + 2 + 8 + 4
"""Bytes per weight for all processes together under ZeRO-3 or FSDP with AdamW: bfloat16, two averages, a float32
copy."""


def minimum_shortage(trainable: int, machine: MachineFacts) -> str:
    """A text with the required and the available memory for this many trainable weights. Empty if it may suffice."""
    needed, available, gpus = trainable * BYTES_ALONE, machine.training_memory, len(machine.gpus)
    if needed <= available:
        return ""
    text = "{needed} of memory for the trainable parameters, and this machine has {available}"
    if gpus == 1:
        text = "{needed} of memory for the trainable parameters, and the GPU has {available}"
    if gpus > 1:
        needed, available = trainable * BYTES_SHARDED, sum(gpu.memory_total for gpu in machine.gpus)
        text = "{needed} of memory for the trainable parameters, and the {gpus} GPUs together have {available}"
        if not why_no_deepspeed():
            text = (
                "{needed} of memory for the trainable parameters, and the {gpus} GPUs and the machine's own memory "
                "together have {available}"
            )
            available += machine.memory_total  # ZeRO may fill that, too
        if needed <= available:
            return ""
    return text.format(needed=memory(needed), available=memory(available), gpus=gpus)
