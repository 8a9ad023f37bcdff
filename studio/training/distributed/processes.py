"""Several processes that learn one run together: who leads, what they agree on, what each holds only a part of.

A run's own process knows of no others: then all of this is nothing, and nothing here is in its way. Every process goes
through the same hooks in the same order, since each of these calls waits for the others.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from studio.schema.config import TrainingConfig

PATIENCE = timedelta(minutes=30)
"""After which a process that waits for the others gives up."""
SWAPPED = "swapped"
"""Folder in a run's folder for what is held on the disk while it trains."""
BUCKET = 50_000_000
"""Numbers that DeepSpeed sends at a time; its own default takes a gigabyte for them."""
T = TypeVar("T")


def begin(gpu: bool) -> None:
    """Meet the others; torchrun has told each process where."""
    import torch.distributed as dist

    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=PATIENCE)


def processes() -> int:
    """How many learn together."""
    import torch.distributed as dist

    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """Which of them this is, from 0."""
    import torch.distributed as dist

    return dist.get_rank() if processes() > 1 else 0


def leads() -> bool:
    """Whether this is the one that speaks and writes for all."""
    return number() == 0


def wait() -> None:
    """Until all are here."""
    if processes() > 1:
        import torch.distributed as dist

        dist.barrier()


def agreed(value: T) -> T:
    """What the leading process says, in all of them."""
    if processes() == 1:
        return value
    import torch.distributed as dist

    said = [value]
    dist.broadcast_object_list(said, src=0, device=_cpu())
    return said[0]


def summed(values: Sequence[float]) -> list[float]:
    """Of all processes, number by number."""
    if processes() == 1:
        return list(values)
    import torch
    import torch.distributed as dist

    total = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(total)
    return [float(each) for each in total]


def most(value: int) -> int:
    """The largest of all processes' numbers."""
    if processes() == 1:
        return value
    import torch
    import torch.distributed as dist

    largest = torch.tensor(value)
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


@contextmanager
def led(context: AbstractContextManager[Any]) -> Iterator[Any]:
    """A context that the leading process alone enters and leaves, after all others are done with it."""
    if leads():
        with context as value:
            yield agreed(value)
            wait()
    else:
        yield agreed(None)
        wait()
    wait()


def whole(trainer: Any) -> AbstractContextManager[Any]:
    """While it is open every process has all weights, whatever they share out, and the model can be asked by itself."""
    if processes() == 1:
        return nullcontext()
    if trainer.settings.fsdp:
        from studio.training.distributed import fsdp

        return fsdp.whole(trainer.model)
    if getattr(trainer, "deepspeed", None) is None:
        return nullcontext()
    from trl.models.utils import unwrap_model_for_generation

    gathered: AbstractContextManager[Any] = unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator)
    return gathered


def sharing_weights(args: Any, begun: bool) -> None:
    """Tell the libraries whether ZeRO-3 has shared the weights out yet: until training begins each process has all."""
    if getattr(args, "hf_deepspeed_config", None) is None:
        return
    from transformers.integrations import deepspeed as library

    if begun:
        library.set_hf_deepspeed_config(args.hf_deepspeed_config)
    else:
        library.unset_hf_deepspeed_config()


def size_of(weight: Any) -> int:
    """Numbers of a weight, of which this process may hold a part."""
    return int(getattr(weight, "ds_numel", weight.numel()))


def arguments(config: TrainingConfig, folder: Path) -> dict[str, Any]:
    """What `TrainingArguments` must know of it. `folder` is the run's."""
    if processes() == 1:
        return {}
    import torch

    gpu = torch.cuda.is_available()
    found: dict[str, Any] = {"ddp_backend": None if gpu else "gloo", "ddp_timeout": int(PATIENCE.total_seconds())}
    if config.zero:
        found |= {"deepspeed": deepspeed(config, gpu, folder / SWAPPED), "bf16": config.precision == "bfloat16"}
    return found


def deepspeed(config: TrainingConfig, gpu: bool, swapped: Path) -> dict[str, Any]:
    """DeepSpeed's own settings; what is `auto` the library takes from the arguments. The optimizer is ours."""
    zero: dict[str, Any] = {"stage": config.zero, "reduce_bucket_size": BUCKET, "allgather_bucket_size": BUCKET}
    if config.zero == 3:
        zero |= {
            "stage3_prefetch_bucket_size": "auto",
            "stage3_param_persistence_threshold": "auto",
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    if config.offload != "none":
        place: dict[str, Any] = {"device": config.offload, "pin_memory": gpu}
        if config.offload == "nvme":
            place["nvme_path"] = str(swapped)
        zero["offload_optimizer"] = place
        if config.zero == 3:
            zero["offload_param"] = place
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


def _cpu() -> Any:
    import torch

    return torch.device("cpu")
