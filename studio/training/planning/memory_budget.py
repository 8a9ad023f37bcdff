"""How much memory a run may be planned to need on this machine."""

from studio.machine.facts import MachineFacts

ROOM = 0.85
"""Share of the free memory that a run is planned to need at most."""


def room(machine: MachineFacts) -> float:
    """Bytes: of the largest GPU, else of the machine."""
    return ROOM * max((gpu.memory_available for gpu in machine.gpus), default=machine.memory_available)


def room_beside(machine: MachineFacts) -> float:
    """Bytes of the machine's own memory, whether or not it has GPUs."""
    return ROOM * machine.memory_available
