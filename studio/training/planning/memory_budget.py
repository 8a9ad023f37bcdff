"""How much memory a planned run may need on this machine."""

from studio.machine.facts import MachineFacts

MAX_MEMORY_SHARE = 0.85
"""Maximum share of the free memory that a planned run may need."""


def memory_budget(machine: MachineFacts) -> float:
    """Bytes that a run may need: of the largest GPU, otherwise of the machine."""
    return MAX_MEMORY_SHARE * max((gpu.memory_available for gpu in machine.gpus), default=machine.memory_available)


def host_memory_budget(machine: MachineFacts) -> float:
    """Bytes that a run may need of the machine's memory, with or without GPUs."""
    return MAX_MEMORY_SHARE * machine.memory_available
