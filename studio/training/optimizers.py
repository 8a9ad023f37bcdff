"""The registry of optimizers: what each is good for, whether it runs here, and how it is made. No torch at import."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from studio.machine.facts import MachineFacts


@dataclass(frozen=True)
class Optimizer:
    """A way to turn gradients into steps."""

    name: str
    library: str
    """Its name among transformers' `optim`."""
    sentence: str
    """What it costs, and when to pick it."""
    state_bytes: float
    """Bytes a trained weight that it keeps, beside the gradient."""
    masters: bool = False
    """Whether it keeps float32 copies of weights held in a shorter format; else these must be float32 themselves."""
    bitsandbytes: bool = False
    paged: bool = False

    def why_not(self, machine: MachineFacts) -> str:
        """Why it can't run on this machine; empty when it can."""
        if self.bitsandbytes and find_spec("bitsandbytes") is None:
            return f"The optimizer {self.name} is of the library bitsandbytes, which is not installed."
        if self.paged and not machine.gpus:
            return (
                f"The optimizer {self.name} moves its state between a GPU and the machine's memory, and here is no "
                f"GPU. On a processor {self.name.removeprefix('paged-')} is the same."
            )
        return ""


OPTIMIZERS: dict[str, Optimizer] = {
    each.name: each
    for each in (
        Optimizer("adamw", "adamw_torch", "The usual one, exact in every number format. Pick it first.", 8,
                  masters=True),
        Optimizer("adafactor", "adafactor", "Hardly any memory. Pick it for whole models that would not fit.", 0.5),
        Optimizer("adamw-8bit", "adamw_8bit", "A quarter of AdamW's memory, five times slower on a processor. Pick it "
                  "for whole models on a small GPU.", 2, bitsandbytes=True),
        Optimizer("lion", "lion_32bit", "Steps by sign, half the memory. Pick it with a third of the rate.", 4,
                  bitsandbytes=True),
        Optimizer("lion-8bit", "lion_8bit", "Steps by sign, an eighth of the memory. Pick it with a third of the rate.",
                  1, bitsandbytes=True),
        Optimizer("paged-adamw", "paged_adamw_32bit", "AdamW whose state moves off the GPU when that is full. Pick it "
                  "where a run just does not fit.", 8, bitsandbytes=True, paged=True),
        Optimizer("paged-adamw-8bit", "paged_adamw_8bit", "The same with a quarter of the state. Pick it where even "
                  "that does not fit.", 2, bitsandbytes=True, paged=True),
        Optimizer("sgd", "sgd", "Plain steps with momentum, slow to learn. Pick it for comparison.", 4),
    )
}  # fmt: skip


def make_optimizer(name: str, groups: Sequence[dict[str, Any]], rate: float, decay: float) -> Any:
    """The optimizer over groups of weights, each with a rate of its own if it has one."""
    if name == "adamw":
        from studio.training.optimizer import MasterAdamW

        return MasterAdamW(list(groups), lr=rate, weight_decay=decay)
    if name == "adafactor":
        from transformers.optimization import Adafactor

        return Adafactor(list(groups), lr=rate, weight_decay=decay, scale_parameter=False, relative_step=False)
    if name == "sgd":
        from torch.optim import SGD

        return SGD(list(groups), lr=rate, weight_decay=decay, momentum=0.9)
    from bitsandbytes import optim

    classes = {
        "adamw-8bit": optim.AdamW8bit, "lion": optim.Lion32bit, "lion-8bit": optim.Lion8bit,
        "paged-adamw": optim.PagedAdamW32bit, "paged-adamw-8bit": optim.PagedAdamW8bit,
    }  # fmt: skip
    return classes[name](list(groups), lr=rate, weight_decay=decay)
