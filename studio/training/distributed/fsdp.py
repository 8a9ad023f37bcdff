"""Weights that several GPUs share out by PyTorch's own means (FSDP): each holds an Nth of every layer, and has a layer
whole only while it computes it. Nothing here asks for a GPU, so that tests compare two processes with one.

What learns beside a frozen base (an adapter, a head) is little, and each process holds all of it: any optimizer and any
mix of number formats will do, and its gradients are averaged once a step. Where weights of the model itself learn,
gradients and what the optimizer keeps are shared out with them.
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
from studio.training.distributed.processes import processes


def claim(model: Any) -> None:
    """Tell the library, before it has a trainer, that weights and gradients of a model are shared out by others.

    It would lay all of it into each GPU at once, and have each process keep a whole copy.
    """
    plain_model(model)._is_distributed_loading_by_transformers = True


def shard(model: Any) -> None:
    """Share the weights of a whole model out; each process must hold the same ones."""
    here = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    kept = [weight for weight in model.parameters() if weight.requires_grad] if is_adapted(model) else []
    for weight in kept:
        weight.data = weight.data.to(here)
        torch.distributed.broadcast(weight.data, src=0)
    common: dict[str, Any] = {
        "mesh": init_device_mesh(here.type, (processes(),)),
        "mp_policy": MixedPrecisionPolicy(reduce_dtype=torch.float32),
        "ignored_params": set(kept),
    }
    for layer in layers_of(model):
        fully_shard(layer, reshard_after_forward=True, **common)
    fully_shard(model, reshard_after_forward=False, **common)
    # Which part is the root is settled by the first one that is asked, and that may be an encoder by itself.
    model.nothing = types.MethodType(lambda self: None, model)
    register_fsdp_forward_method(model, "nothing")
    model.nothing()
    del model.nothing
    _share_out(model)  # the root stays whole once it was asked


def layers_of(model: Any) -> list[Any]:
    """The layers of its stacks, which its makers say must not be torn apart."""
    named = set(getattr(model, "_no_split_modules", None) or ())
    return [
        part
        for name, part in model.named_modules()
        if type(part).__name__ in named and name.rpartition(".")[2].isdecimal()
    ]


def is_adapted(model: Any) -> bool:
    """Whether an adapter learns and the model's own weights do not."""
    return hasattr(model, "peft_config")


def is_sharded(model: Any) -> bool:
    """Whether its weights are shared out, be it that they were brought together for a moment."""
    return isinstance(model, FSDPModule)


@contextmanager
def whole(model: Any) -> Iterator[None]:
    """While it is open every process has all weights, and any part of the model can be asked by itself."""
    _gather(model)
    try:
        yield
    finally:
        _share_out(model)


@contextmanager
def parted(model: Any) -> Iterator[None]:
    """While it is open weights are shared out, as their names and values are asked for; afterwards as before."""
    before = not any(isinstance(weight, DTensor) for weight in model.parameters())
    _share_out(model)
    try:
        yield
    finally:
        if before:
            _gather(model)


def _gather(model: Any) -> None:
    for part in _parts(model):
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()


def _share_out(model: Any) -> None:
    for part in _parts(model):
        part.set_reshard_after_forward(part is not model, recurse=False)
        part.reshard()


def _parts(model: Any) -> list[FSDPModule]:
    return [part for part in model.modules() if isinstance(part, FSDPModule)]


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    """What is to be saved, whole and in the machine's memory: all weights, or those that learn beside a frozen base.

    All processes must ask.
    """
    if is_adapted(model):
        return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}
    with parted(model):
        named = model.state_dict(keep_vars=True)  # the weights themselves: one of two names is saved once
        found = {id(weight): _full(weight.detach()) for weight in named.values()}
        return {name: found[id(weight)] for name, weight in named.items()}


def load_weights(model: Any, folder: Path) -> None:
    """The weights of a saved model into one that is shared out. All processes must do so."""
    from safetensors.torch import load_file

    with parted(model), torch.no_grad():
        named = model.state_dict(keep_vars=True)
        for file in weight_files(folder):
            for name, value in load_file(file).items():
                if name in named:
                    named[name].copy_(_like(named[name], value))


def average(weights: Iterable[torch.Tensor]) -> None:
    """The gradients of weights that each process holds whole become their mean over all processes."""
    grads = [weight.grad for weight in weights if weight.grad is not None and not isinstance(weight, DTensor)]
    if not grads:
        return
    together = torch.cat([grad.flatten().float() for grad in grads])
    torch.distributed.all_reduce(together)
    together /= processes()
    for grad, mean in zip(grads, together.split([grad.numel() for grad in grads]), strict=True):
        grad.copy_(mean.view_as(grad))


def state_of(optimizer: Any) -> dict[str, Any]:
    """What an optimizer keeps, whole and in the machine's memory. All processes must ask."""
    told = optimizer.state_dict()
    return {
        **told,
        "state": {
            number: {name: _full(value) for name, value in kept.items()} for number, kept in told["state"].items()
        },
    }


def load_state(optimizer: Any, told: Mapping[str, Any]) -> None:
    """What an optimizer kept, shared out as its weights are. All processes must do so."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    shared = {
        number: {name: _like(weights[number], value) for name, value in kept.items()}
        for number, kept in told["state"].items()
    }
    optimizer.load_state_dict({**told, "state": shared})


def _full(value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    return (value.full_tensor() if isinstance(value, DTensor) else value).cpu()


def _like(weight: torch.Tensor, value: Any) -> Any:
    """A weight's value, or what an optimizer keeps of each of its numbers, shared out like the weight."""
    if not isinstance(value, torch.Tensor) or not isinstance(weight, DTensor) or value.shape != weight.shape:
        return value
    here = value.to(weight.device)
    return distribute_tensor(here, weight.device_mesh, weight.placements, src_data_rank=None)
