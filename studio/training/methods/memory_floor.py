"""What weights that learn take at the least: by the lightest optimizer, shared out among all GPUs.

training/planning/memory_model.py estimates what given settings take; this is the minimum under any settings.
"""

from studio.machine.deepspeed import why_no_deepspeed
from studio.machine.facts import MachineFacts
from studio.training.optimizers import OPTIMIZERS

ALONE = 4 + 4 + min(each.state_bytes for each in OPTIMIZERS.values())
"""Bytes a weight in one process: itself and its gradient in float32, and what the lightest optimizer keeps."""
SHARED = 2 + 2 + 8 + 4
"""The same of all processes together under ZeRO-3 or FSDP by AdamW: in bfloat16, with averages and an exact copy."""


def too_much(learning: int, machine: MachineFacts) -> str:
    """What so many learning weights need at the least, beside what is there; empty where that may do."""
    each, there, holder = ALONE, machine.training_memory, "the GPU has" if machine.gpus else "this machine has"
    if learning * each <= there:
        return ""
    if len(machine.gpus) > 1:
        each, holder = SHARED, f"the {len(machine.gpus)} GPUs together have"
        there = sum(gpu.memory_total for gpu in machine.gpus)
        if not why_no_deepspeed():
            holder = f"the {len(machine.gpus)} GPUs and the machine's own memory together have"
            there += machine.memory_total  # ZeRO may fill that, too
        if learning * each <= there:
            return ""
    return f"{learning * each / 1e9:.1f} GB of memory for what learns; {holder} {there / 1e9:.1f} GB"
