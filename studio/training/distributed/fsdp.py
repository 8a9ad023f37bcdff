"""FSDP with PyTorch's own functions: each process holds a shard of every layer, and a whole layer only while it
computes that layer. Nothing requires a GPU, so tests compare two CPU processes with one.

Trainable weights beside a frozen base (an adapter, a head) are small and replicated: any optimizer and any mix of
number formats works, and their gradients are averaged once per step. If the model's own weights are trained, gradients
and optimizer state are sharded with them.
"""

import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from studio.inference.generate import plain_model
from studio.models.weights import weight_files
from studio.training.distributed.processes import world_size


def mark_as_sharded(model: Any) -> None:
    """Tell transformers, before a trainer exists, that weights and gradients are already handled for several processes.

    Otherwise it would move the whole model to each GPU and replicate it.
    """
    plain_model(model)._is_distributed_loading_by_transformers = True


def shard_model(model: Any) -> None:
    """Shard the weights of a complete model. All processes must hold the same weights."""
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    replicated = [weight for weight in model.parameters() if weight.requires_grad] if is_adapted(model) else []
    for weight in replicated:
        weight.data = weight.data.to(device)
        torch.distributed.broadcast(weight.data, src=0)
    common: dict[str, Any] = {
        "mesh": init_device_mesh(device.type, (world_size(),)),
        "mp_policy": MixedPrecisionPolicy(reduce_dtype=torch.float32),
        "ignored_params": set(replicated),
    }
    for layer in layers_of(model):
        fully_shard(layer, reshard_after_forward=True, **common)
    fully_shard(model, reshard_after_forward=False, **common)
    # The first module that is called becomes the root, and that could be an encoder alone.
    model.nothing = types.MethodType(lambda self: None, model)
    register_fsdp_forward_method(model, "nothing")
    model.nothing()
    del model.nothing
    _reshard(model)  # the root stays unsharded after its first call


def layers_of(model: Any) -> list[Any]:
    """The layers of the model's stacks, which must not be split according to the model class."""
    split_names = set(getattr(model, "_no_split_modules", None) or ())
    return [
        part
        for name, part in model.named_modules()
        if type(part).__name__ in split_names and name.rpartition(".")[2].isdecimal()
    ]


def is_adapted(model: Any) -> bool:
    """Whether an adapter is trained and the model's own weights are frozen."""
    return hasattr(model, "peft_config")


def is_sharded(model: Any) -> bool:
    """Whether the weights are sharded, even if they are gathered at the moment."""
    return isinstance(model, FSDPModule)


@contextmanager
def unsharded(model: Any) -> Iterator[None]:
    """Inside the block every process has all weights, so any part of the model can be called by itself."""
    _unshard(model)
    try:
        yield
    finally:
        _reshard(model)


@contextmanager
def resharded(model: Any) -> Iterator[None]:
    """Inside the block the weights are sharded, as their names and values require. Afterwards the former state
    returns."""
    was_gathered = not any(isinstance(weight, DTensor) for weight in model.parameters())
    _reshard(model)
    try:
        yield
    finally:
        if was_gathered:
            _unshard(model)


def _unshard(model: Any) -> None:
    for part in _fsdp_modules(model):
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()


def _reshard(model: Any) -> None:
    for part in _fsdp_modules(model):
        part.set_reshard_after_forward(part is not model, recurse=False)
        part.reshard()


def _fsdp_modules(model: Any) -> list[FSDPModule]:
    return [part for part in model.modules() if isinstance(part, FSDPModule)]


def full_weights(model: Any) -> dict[str, torch.Tensor]:
    """The weights to save, complete and on the CPU: all, or those of an adapter and a head.

    All processes must call it.
    """
    if is_adapted(model):
        return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}
    with resharded(model):
        named = model.state_dict(keep_vars=True)  # the parameters themselves, so that shared ones are gathered once
        full = {id(weight): _to_full(weight.detach()) for weight in named.values()}
        return {name: full[id(weight)] for name, weight in named.items()}


def load_weights(model: Any, folder: Path) -> None:
    """Load saved weights into a sharded model. All processes must call it."""
    from safetensors.torch import load_file

    with resharded(model), torch.no_grad():
        named = model.state_dict(keep_vars=True)
        for file in weight_files(folder):
            for name, value in load_file(file).items():
                if name in named:
                    named[name].copy_(_to_sharded(named[name], value))


def average_gradients(weights: Iterable[torch.Tensor]) -> None:
    """Replace the gradients of replicated weights by their mean over all processes."""
    grads = [weight.grad for weight in weights if weight.grad is not None and not isinstance(weight, DTensor)]
    if not grads:
        return
    flat = torch.cat([grad.flatten().float() for grad in grads])
    torch.distributed.all_reduce(flat)
    flat /= world_size()
    for grad, mean in zip(grads, flat.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(mean.view_as(grad))


def full_optimizer_state(optimizer: Any) -> dict[str, Any]:
    """The state of an optimizer, complete and on the CPU. All processes must call it."""
    state = optimizer.state_dict()
    return {
        **state,
        "state": {
            number: {name: _to_full(value) for name, value in values.items()}
            for number, values in state["state"].items()
        },
    }


def load_optimizer_state(optimizer: Any, state: Mapping[str, Any]) -> None:
    """Load the state of an optimizer, sharded like its weights. All processes must call it."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    sharded = {
        number: {name: _to_sharded(weights[number], value) for name, value in values.items()}
        for number, values in state["state"].items()
    }
    optimizer.load_state_dict({**state, "state": sharded})


def _to_full(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu()


def _to_sharded(weight: torch.Tensor, value: Any) -> Any:
    """A weight, or optimizer state of the same shape, sharded like the weight."""
    if not isinstance(value, torch.Tensor) or not isinstance(weight, DTensor) or value.shape != weight.shape:
        return value
    local = value.to(weight.device)
    return distribute_tensor(local, weight.device_mesh, weight.placements, src_data_rank=None)
