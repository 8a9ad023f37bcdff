"""Several processes that train one run: ranks, collective operations, and the settings of DeepSpeed.

With a single process, all functions return at once. Every process must call them in the same order, since each call
waits for the others.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from studio.schema.config import TrainingConfig

TIMEOUT = timedelta(minutes=30)
"""Timeout of a process that waits for the others."""
OFFLOAD_FOLDER = "swapped"
"""Folder in a run's folder for data that is offloaded to disk during training."""
BUCKET = 50_000_000
"""Numbers that DeepSpeed sends at a time. Its default needs a gigabyte of memory."""
T = TypeVar("T")


def init_process_group(gpu: bool) -> None:
    """Connect to the other processes. torchrun has set the addresses in the environment."""
    import torch.distributed as dist

    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=TIMEOUT)


def world_size() -> int:
    """The number of processes that train together."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    import torch.distributed as dist

    return dist.get_rank() if world_size() > 1 else 0


def is_main_process() -> bool:
    """Whether this process emits events and writes files for all."""
    return rank() == 0


def barrier() -> None:
    """Wait until all processes are here."""
    if world_size() > 1:
        import torch.distributed as dist

        dist.barrier()


def broadcast_from_main(value: T) -> T:
    """The value of the main process, in all processes."""
    if world_size() == 1:
        return value
    import torch
    import torch.distributed as dist

    values = [value]
    dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
    return values[0]


def all_sum(values: Sequence[float]) -> list[float]:
    """Element-wise sum over all processes."""
    if world_size() == 1:
        return list(values)
    import torch
    import torch.distributed as dist

    total = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(total)
    return [float(each) for each in total]


def all_max(value: int) -> int:
    """The maximum over all processes."""
    if world_size() == 1:
        return value
    import torch
    import torch.distributed as dist

    largest = torch.tensor(value)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


@contextmanager
def main_process_only(context: AbstractContextManager[Any]) -> Iterator[Any]:
    """A context manager that only the main process enters. It exits after all other processes have left the block."""
    if is_main_process():
        with context as value:
            yield broadcast_from_main(value)
            barrier()
    else:
        yield broadcast_from_main(None)
        barrier()
    barrier()


def gathered_weights(trainer: Any) -> AbstractContextManager[Any]:
    """Inside the block every process has all weights, so that the model can be called by itself."""
    if world_size() == 1:
        return nullcontext()
    if trainer.settings.fsdp:
        from studio.training.distributed import fsdp

        return fsdp.unsharded(trainer.model)
    if getattr(trainer, "deepspeed", None) is None:
        return nullcontext()
    from trl.models.utils import unwrap_model_for_generation

    gathered: AbstractContextManager[Any] = unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator)
    return gathered


def set_weights_sharded(args: Any, sharded: bool) -> None:
    """Tell transformers whether ZeRO-3 has sharded the weights yet. Until training begins, each process has all of
    them."""
    if getattr(args, "hf_deepspeed_config", None) is None:
        return
    from transformers.integrations import deepspeed as library

    if sharded:
        library.set_hf_deepspeed_config(args.hf_deepspeed_config)
    else:
        library.unset_hf_deepspeed_config()


def element_count(weight: Any) -> int:
    """The number of elements of a weight, of which this process may hold a part."""
    return int(getattr(weight, "ds_numel", weight.numel()))


def process_arguments(config: TrainingConfig, folder: Path) -> dict[str, Any]:
    """The `TrainingArguments` for several processes. `folder` is the run's checkpoint parent folder."""
    if world_size() == 1:
        return {}
    import torch

    gpu = torch.cuda.is_available()
    result: dict[str, Any] = {"ddp_backend": None if gpu else "gloo", "ddp_timeout": int(TIMEOUT.total_seconds())}
    if config.zero:
        _skip_inference_kernels()
        result |= {
            "deepspeed": deepspeed_config(config, gpu, folder / OFFLOAD_FOLDER),
            "bf16": config.precision == "bfloat16",
        }
    return result


def _skip_inference_kernels() -> None:
    """Let DeepSpeed not compile the all-reduce that only its inference uses. It would do so at the first start on a
    machine without a GPU, for a minute, and would need a C++ compiler. DeepSpeed keeps changes of this dictionary."""
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def deepspeed_config(config: TrainingConfig, gpu: bool, offload_folder: Path) -> dict[str, Any]:
    """The settings of DeepSpeed. The values `auto` are taken from the arguments. The optimizer is ours."""
    zero: dict[str, Any] = {"stage": config.zero, "reduce_bucket_size": BUCKET, "allgather_bucket_size": BUCKET}
    if config.zero == 3:
        zero |= {
            "stage3_prefetch_bucket_size": "auto",
            "stage3_param_persistence_threshold": "auto",
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    if config.offload != "none":
        offload: dict[str, Any] = {"device": config.offload, "pin_memory": gpu}
        if config.offload == "nvme":
            offload["nvme_path"] = str(offload_folder)
        zero["offload_optimizer"] = offload
        if config.zero == 3:
            zero["offload_param"] = offload
    return {
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
    }
