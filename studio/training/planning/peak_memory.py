"""How much of a GPU a run has taken so far: what it must fit in where one learns on a GPU."""

from studio.training.distributed.processes import most
from studio.training.planning.memory_model import ON_GPU


def on_gpu() -> bool:
    """Whether a run in this process learns on a GPU."""
    import torch

    return torch.cuda.is_available()


def gpu_peak() -> int:
    """Most bytes so far by CUDA's own count, with what its libraries take beside it; of several GPUs the fullest."""
    import torch

    return most(torch.cuda.max_memory_reserved()) + ON_GPU
