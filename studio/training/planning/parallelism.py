"""Several processes for one run: the sharding strategies, their costs, and why they may be unavailable. Imports no
torch.

DeepSpeed (training/distributed/processes.py) or FSDP (training/distributed/fsdp.py) shards the model. Trainers only
select their rows.
"""

from dataclasses import dataclass
from functools import cache
from threading import Thread
from typing import Any

from studio.machine.deepspeed import why_no_deepspeed, why_no_nvme
from studio.machine.facts import MachineFacts
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError, bad_setting
from studio.training.methods import METHODS, trains_base_weights

ZERO_OPTIMIZERS = ("adamw", "sgd")
"""Optimizers that work on a flat vector of all weights, of which DeepSpeed gives each process a slice."""
SHARDABLE_OPTIMIZERS = ("adamw", "sgd", "rmsprop", "adagrad")
"""Optimizers that work on shards of each weight, which is all that a process has under FSDP."""


@dataclass(frozen=True)
class ShardingStrategy:
    """A strategy for several processes to train one run."""

    zero: int
    title: str
    sentence: str
    cost: float
    """Time of a step relative to one process on the same cores (benchmarks/processes.py)."""
    fsdp: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that select it."""
        return {"zero": self.zero, "fsdp": self.fsdp}


FSDP = ShardingStrategy(0, "FSDP", "Like ZeRO-3, with PyTorch instead of DeepSpeed.", 2.2, fsdp=True)
STRATEGIES: tuple[ShardingStrategy, ...] = (
    ShardingStrategy(0, "Data parallel", "Each process holds everything.", 1.3),
    ShardingStrategy(1, "ZeRO-1", "Each process holds a part of the optimizer state.", 1.0),
    ShardingStrategy(2, "ZeRO-2", "Each process holds a part of the optimizer state and the gradients.", 1.0),
    ShardingStrategy(
        3, "ZeRO-3", "Each process holds a part of everything, and gathers the weights layer by layer.", 2.7
    ),
    FSDP,
)


def strategy_of(config: TrainingConfig) -> ShardingStrategy:
    """The strategy that the settings select."""
    return FSDP if config.fsdp else next(strategy for strategy in STRATEGIES if strategy.zero == config.zero)


def next_strategy(config: TrainingConfig, machine: MachineFacts) -> ShardingStrategy | None:
    """The next strategy that shards more and is available: the next stage of ZeRO, otherwise FSDP."""
    if config.fsdp or config.zero == 3:
        return None
    candidates = [strategy for strategy in STRATEGIES if strategy.zero == config.zero + 1 or strategy.fsdp]
    return next(
        (strategy for strategy in candidates if not problems(config.model_copy(update=strategy.settings), machine)),
        None,
    )


def unavailable_zero_stages(machine: MachineFacts) -> dict[str, str]:
    """Stage of ZeRO → why it is not available on this machine."""
    why = _why_no_zero(machine)
    return {str(strategy.zero): why for strategy in STRATEGIES if strategy.zero and why}


def unavailable_fsdp(machine: MachineFacts) -> dict[str, str]:
    """The same for FSDP."""
    return {"True": why} if (why := why_no_fsdp(machine)) else {}


def unavailable_offload(machine: MachineFacts) -> dict[str, str]:
    """Offload target → why it is not available on this machine.

    The check of the disk takes seconds and runs in a thread. Until it is done, nothing is reported for the disk, and a
    plan that uses it waits.
    """
    if why := _why_no_zero(machine):
        return {"cpu": why, "nvme": why}
    _start_disk_check()
    if not why_no_nvme.cache_info().currsize or not (why := why_no_nvme()):
        return {}
    return {"nvme": why}


@cache
def _start_disk_check() -> None:
    """Start the check in a thread, once."""
    Thread(target=why_no_nvme, daemon=True).start()


def _why_no_zero(machine: MachineFacts) -> str:
    if process_slots(machine) > 1:
        return why_no_deepspeed()
    if machine.gpus:
        return "ZeRO shards a run over several processes, each with its own GPU. This machine has one GPU."
    return "ZeRO shards a run over several processes, each with its own core. This machine has one core."


def why_no_fsdp(machine: MachineFacts) -> str:
    """Why FSDP is not available on this machine. Empty when it is."""
    if len(machine.gpus) > 1:
        return ""
    if machine.gpus:
        return "FSDP shards weights over several GPUs. This machine has one GPU."
    return "FSDP needs several GPUs. On a CPU, all processes share one memory, so sharding saves nothing."


def process_slots(machine: MachineFacts) -> int:
    """Maximum number of processes. Each needs its own GPU, or its own core of a machine without GPUs."""
    return len(machine.gpus) or machine.cores


def problems(config: TrainingConfig, machine: MachineFacts) -> list[StudioError]:
    """All problems of the settings for several processes."""
    issues = [
        _zero_problem(config, machine),
        _offload_problem(config),
        _slot_problem(config, machine),
        _head_problem(config),
    ]
    if config.fsdp:
        issues += _fsdp_problems(config, machine)
    elif config.processes > 1 and config.zero:
        issues += [_precision_problem(config, machine), _optimizer_problem(config, machine)]
    return [each for each in issues if each is not None]


def _zero_problem(config: TrainingConfig, machine: MachineFacts) -> StudioError | None:
    if not config.zero:
        return None
    if config.processes == 1:
        what = "ZeRO shards a run over several processes, but this run has only one."
        return bad_setting("zero", what, f"ZeRO-{config.zero} with 1 process", "2 processes or more, or zero 0")
    if why := why_no_deepspeed():
        valid = "0 (data parallel)" if why_no_fsdp(machine) else "0 (data parallel), or fsdp instead"
        return bad_setting("zero", why, f"ZeRO-{config.zero}", valid)
    return None


def _offload_problem(config: TrainingConfig) -> StudioError | None:
    if config.offload == "none":
        return None
    if not config.zero:
        what = "Only data that ZeRO shards can be offloaded."
        return bad_setting("offload", what, f"{config.offload} without ZeRO", "none, or zero 1, 2 or 3")
    if config.offload == "nvme" and config.zero != 3:
        return bad_setting("offload", "Only ZeRO-3 can offload to the disk.", "nvme", "cpu, or zero 3")
    if config.offload == "nvme" and (why := why_no_nvme()):
        return bad_setting("offload", why, "nvme", "cpu or none")
    return None


def _slot_problem(config: TrainingConfig, machine: MachineFacts) -> StudioError | None:
    most = process_slots(machine)
    if config.processes <= max(most, 1):
        return None
    one = "Each process needs its own core, and this machine has only one."
    more = "Each process needs its own core, and this machine has fewer."
    if machine.gpus:
        one = "Each process needs its own GPU, and this machine has only one."
        more = "Each process needs its own GPU, and this machine has fewer."
    what = one if most == 1 else more
    return bad_setting("processes", what, config.processes, f"up to {most}")


def _head_problem(config: TrainingConfig) -> StudioError | None:
    if config.processes == 1 or not config.head_first:
        return None
    what = "With several processes, trainable weights can't change after the first step, so the head can't train alone."
    return bad_setting(
        "head_first", what, f"{config.head_first:g} with {config.processes} processes", "0, or 1 process"
    )


def _fsdp_problems(config: TrainingConfig, machine: MachineFacts) -> list[StudioError]:
    """Problems of FSDP. It can't shard quantized weights, and the loss scale of float16 would differ between shards."""
    problems = []
    if why := why_no_fsdp(machine):
        problems.append(bad_setting("fsdp", why, "on", "off, or zero 3 if DeepSpeed is installed"))
    elif config.processes == 1:
        what = "FSDP shards a run over several processes, but this run has only one."
        problems.append(bad_setting("fsdp", what, "on with 1 process", "2 processes or more, or off"))
    if config.zero:
        what = "ZeRO and FSDP both shard the weights, so only one of them can be on."
        problems.append(bad_setting("fsdp", what, f"both, with ZeRO-{config.zero}", "fsdp on with zero 0, or off"))
    method = METHODS.get(config.method)
    if method is not None and method.quantized:
        what = "FSDP can't shard a quantized base model: each process would hold all of it."
        problems.append(bad_setting("fsdp", what, f"on with {method.title}", "zero 3, or the method lora"))
    if config.precision == "float16":
        problems.append(
            bad_setting("precision", "FSDP trains in bfloat16 or float32.", "float16", "bfloat16 or float32")
        )
    if trains_base_weights(config.method) and config.optimizer not in SHARDABLE_OPTIMIZERS:
        what = (
            f"FSDP gives each process a part of every weight, but the optimizer {config.optimizer} needs whole weights."
        )
        problems.append(bad_setting("optimizer", what, config.optimizer, ", ".join(SHARDABLE_OPTIMIZERS)))
    return problems


def _precision_problem(config: TrainingConfig, machine: MachineFacts) -> StudioError | None:
    method = METHODS.get(config.method)
    if config.precision == "float32" or method is None or not getattr(method, "exact", ()):
        return None
    what = f"{method.title} keeps some weights in float32, but DeepSpeed keeps all weights in one precision."
    valid = "precision float32, or zero 0"
    if not why_no_fsdp(machine):
        valid = "precision float32, or zero 0, or fsdp instead"
    return bad_setting("zero", what, f"ZeRO-{config.zero} in {config.precision}", valid)


def _optimizer_problem(config: TrainingConfig, machine: MachineFacts) -> StudioError | None:
    if config.optimizer in ZERO_OPTIMIZERS:
        return None
    valid = ", ".join(ZERO_OPTIMIZERS)
    if not trains_base_weights(config.method) and not why_no_fsdp(machine):
        valid = f"{valid}, or fsdp instead"
    what = f"ZeRO stores all weights in one vector, which the optimizer {config.optimizer} does not support."
    return bad_setting("optimizer", what, config.optimizer, valid)
