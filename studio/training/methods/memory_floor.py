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
    bytes_per_weight, available, holder = (
        BYTES_ALONE,
        machine.training_memory,
        "the GPU has" if machine.gpus else "this machine has",
    )
    if trainable * bytes_per_weight <= available:
        return ""
    if len(machine.gpus) > 1:
        bytes_per_weight, holder = BYTES_SHARDED, f"the {len(machine.gpus)} GPUs together have"
        available = sum(gpu.memory_total for gpu in machine.gpus)
        if not why_no_deepspeed():
            holder = f"the {len(machine.gpus)} GPUs and the machine's own memory together have"
            available += machine.memory_total  # ZeRO may fill that, too
        if trainable * bytes_per_weight <= available:
            return ""
    needed = trainable * bytes_per_weight
    return f"{memory(needed)} of memory for the trainable parameters, and {holder} {memory(available)}"
