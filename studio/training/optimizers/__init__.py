"""The registry of optimizers: when to choose each, whether it runs here, and how it is created. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from studio.machine.facts import MachineFacts
from studio.machine.packages import is_installed

MODULES = {"bitsandbytes": "bitsandbytes", "schedulefree": "schedulefree", "torch-optimi": "optimi"}
"""Optional packages that contain optimizers, and their import names."""


@dataclass(frozen=True)
class Optimizer:
    """An optimizer and its requirements."""

    name: str
    library: str
    """Its name in transformers' `optim` setting."""
    constructor: str
    """Dotted name of the function that creates it from parameter groups, `lr` and `weight_decay`."""
    sentence: str
    """What it costs, and when to choose it."""
    state_bytes: float
    """Bytes of state per trained weight, besides the gradient."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Additional arguments of the constructor."""
    masters: bool = False
    """Whether it keeps float32 copies of weights in shorter formats. Otherwise the weights must be float32."""
    package: str = ""
    """The package in `MODULES` that contains it, if any."""
    paged: bool = False

    def unavailable_reason(self, machine: MachineFacts) -> str:
        """Why it can't run on this machine. Empty when it can."""
        if self.package and not is_installed(MODULES[self.package]):
            return (
                f"The optimizer {self.name} needs the library {self.package}, which is not installed. "
                f"Install it with: pip install {self.package}"
            )
        if self.paged and not machine.gpus:
            same = self.name.removeprefix("paged-")
            return (
                f"The optimizer {self.name} moves its state between a GPU and the machine's memory, but this machine "
                f"has no GPU. On a CPU, {same} is the same."
            )
        return ""


def _bitsandbytes(name: str, library: str, kind: str, sentence: str, state_bytes: float) -> Optimizer:
    return Optimizer(
        name,
        library,
        f"bitsandbytes.optim.{kind}",
        sentence,
        state_bytes,
        package="bitsandbytes",
        paged=name.startswith("paged-"),
    )


NO_FOREACH: Mapping[str, Any] = {"foreach": False}
"""Update one weight after the other. All at once would need as much GPU memory again as the weights during the step."""

OPTIMIZERS: dict[str, Optimizer] = {
    each.name: each
    for each in (
        Optimizer(
            "adamw",
            "adamw_torch",
            "studio.training.optimizers.master_weights.MasterAdamW",
            "The usual choice, exact in every number format. Choose it first.",
            8,
            masters=True,
        ),
        Optimizer(
            "adafactor",
            "adafactor",
            "transformers.optimization.Adafactor",
            "Needs hardly any memory. Choose it for full fine-tuning that would not fit otherwise.",
            0.5,
            {"scale_parameter": False, "relative_step": False},
        ),
        _bitsandbytes(
            "adamw-8bit",
            "adamw_8bit",
            "AdamW8bit",
            "A quarter of AdamW's memory, but five times slower on a CPU. Choose it for large models on a small GPU.",
            2,
        ),
        _bitsandbytes(
            "lion",
            "lion_32bit",
            "Lion32bit",
            "Uses only the sign of gradients, half the memory. Choose it with a third of the learning rate.",
            4,
        ),
        _bitsandbytes(
            "lion-8bit",
            "lion_8bit",
            "Lion8bit",
            "Like lion, with an eighth of AdamW's memory. Choose it with a third of the learning rate.",
            1,
        ),
        # not AdEMAMix32bit, which allocates one average where its steps need two
        _bitsandbytes(
            "ademamix",
            "ademamix",
            "AdEMAMix",
            "AdamW with a longer memory of gradients, which takes half as much space again. Choose it for runs of "
            "many thousand steps.",
            12,
        ),
        _bitsandbytes(
            "ademamix-8bit",
            "ademamix_8bit",
            "AdEMAMix8bit",
            "The same with less than half of AdamW's memory, but slower on a CPU. Choose it for long runs on a GPU.",
            3,
        ),
        Optimizer(
            "rmsprop",
            "rmsprop",
            "torch.optim.RMSprop",
            "AdamW without momentum, half the memory. Choose it to repeat a recipe that uses it.",
            4,
            NO_FOREACH,
        ),
        Optimizer(
            "adagrad",
            "adagrad",
            "torch.optim.Adagrad",
            "Weights that have changed much change less and less, half the memory. Choose it for short runs, with "
            "fifty times the learning rate.",
            4,
            NO_FOREACH,
        ),
        Optimizer(
            "sgd",
            "sgd",
            "torch.optim.SGD",
            "Plain gradient steps with momentum, slow to learn. Choose it for comparison.",
            4,
            {"momentum": 0.9},
        ),
        Optimizer(
            "stable-adamw",
            "stable_adamw",
            "optimi.StableAdamW",
            "AdamW with smaller steps when a gradient is suddenly large. Choose it when the loss jumps.",
            8,
            package="torch-optimi",
        ),
        Optimizer(
            "schedule-free",
            "schedule_free_adamw",
            "studio.training.optimizers.master_weights.schedule_free",
            "AdamW that averages the weights over the run, so the learning rate need not fall. Choose it with a "
            "constant schedule, when you don't know how long to train.",
            8,
            NO_FOREACH,
            package="schedulefree",
        ),
        _bitsandbytes(
            "paged-adamw",
            "paged_adamw_32bit",
            "PagedAdamW32bit",
            "AdamW whose state moves off the GPU when it is full. Choose it when a run almost fits.",
            8,
        ),
        _bitsandbytes(
            "paged-adamw-8bit",
            "paged_adamw_8bit",
            "PagedAdamW8bit",
            "The same with a quarter of the state. Choose it when even that does not fit.",
            2,
        ),
        _bitsandbytes(
            "paged-lion",
            "paged_lion_32bit",
            "PagedLion32bit",
            "Lion whose state moves off the GPU when it is full. Choose it when lion almost fits.",
            4,
        ),
        _bitsandbytes(
            "paged-lion-8bit",
            "paged_lion_8bit",
            "PagedLion8bit",
            "The same with a quarter of the state. Choose it when even that does not fit.",
            1,
        ),
        _bitsandbytes(
            "paged-ademamix",
            "paged_ademamix_32bit",
            "PagedAdEMAMix",
            "AdEMAMix whose state moves off the GPU when it is full. Choose it when ademamix almost fits.",
            12,
        ),
        _bitsandbytes(
            "paged-ademamix-8bit",
            "paged_ademamix_8bit",
            "PagedAdEMAMix8bit",
            "The same with a quarter of the state. Choose it when even that does not fit.",
            3,
        ),
    )
}


def make_optimizer(name: str, groups: Sequence[dict[str, Any]], rate: float, decay: float) -> Any:
    """Create an optimizer for parameter groups, which may have their own learning rates."""
    chosen = OPTIMIZERS[name]
    module_name, _, function = chosen.constructor.rpartition(".")
    return getattr(import_module(module_name), function)(list(groups), lr=rate, weight_decay=decay, **chosen.more)
