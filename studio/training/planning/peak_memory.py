"""Peak GPU memory of a run in this process."""

from studio.training.distributed.processes import all_max
from studio.training.planning.memory_model import GPU_LIBRARIES


def on_gpu() -> bool:
    """Whether a run in this process uses a GPU."""
    import torch

    return torch.cuda.is_available()


def gpu_peak() -> int:
    """Peak GPU memory in bytes, by CUDA's count plus the libraries. With several GPUs, the maximum."""
    import torch

    return all_max(torch.cuda.max_memory_reserved()) + GPU_LIBRARIES
