"""What a method must say: when it can be used, what of a model learns, and how it wraps one."""

import warnings
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from studio.machine.facts import MachineFacts
from studio.models.trainable_parameters import shares_layers
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.optimizers import OPTIMIZERS


class Method(Protocol):
    """One way to learn. No torch at import."""

    name: str
    title: str
    sentence: str
    """How it learns, and when to pick it."""
    term: str
    result: str
    """`adapter` or `model`: what lies on disk afterwards."""
    mergeable: bool
    """Whether a model without an adapter can be made of the result."""
    quantised: bool
    """Whether the base is loaded in fewer bits."""
    family: str
    """Which learning rates suit it: `low-rank`, `scales`, `prompts`, `last` or `weights`."""
    recomputes: bool
    """Whether activations may be computed twice to save memory."""
    keeps: float
    """What it keeps of each layer for the way back, beside LoRA."""
    cost: float
    """Time of a step beside LoRA's (training.md, 5)."""

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Why it can't be used with this model on this machine; empty when it can."""
        ...

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """Settings that are at odds with this method on this model, all of them."""
        ...

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """How many parameters learn; `labels` of a classifier, 0 for text."""
        ...

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """Share of the layers that the way back goes through, and whose activations are kept."""
        ...

    def wrap(self, model: Any, config: TrainingConfig) -> Any:
        """The loaded model, made ready to learn."""
        ...


def too_many_frozen(model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
    """A problem when no layer is left to learn."""
    if config.frozen_layers and shares_layers(model):
        return [
            StudioError(
                "bad-setting",
                "All layers of this model are one and the same: with the lowest all would be frozen.",
                given=f"{config.frozen_layers:,} layers frozen",
                valid="0",
                field="frozen_layers",
            )
        ]
    if not model.layers or config.frozen_layers < model.layers:
        return []
    return [
        StudioError(
            "bad-setting",
            "No layer would be left to learn.",
            given=f"{config.frozen_layers:,} of {model.layers:,} layers frozen",
            valid=f"up to {model.layers - 1:,}",
            field="frozen_layers",
        )
    ]


FEW_BITS = "This model is held in few bits already, and such weights can't learn themselves. LoRA learns beside them."
"""Why weights of a model themselves can't learn."""


class Adapting:
    """What methods have in common that put a PEFT adapter on a frozen base."""

    result = "adapter"
    mergeable = True
    quantised = False
    recomputes = True
    keeps = 1.0
    exact: ClassVar[Sequence[str]] = ()
    """Parts of names of weights that stay in float32: near 1 a bfloat16 moves by nothing less than 1/128."""

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Linear layers are in every model that the tasks take."""
        return ""

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """None, unless the method knows some."""
        return []

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """The adapter of the lowest layer is reached through all."""
        return 1.0

    def adapter(self, model: Any, config: TrainingConfig) -> Any:
        """The adapter's own config, of PEFT."""
        raise NotImplementedError

    def wrap(self, model: Any, config: TrainingConfig) -> Any:
        """The model with an adapter, in the model's own number format."""
        import torch
        from peft import get_peft_model

        # The optimizer keeps float32 copies, so the adapter need not be computed in float32 (a fifth of the time).
        half = torch.cuda.is_available() and config.precision == "float16"
        with warnings.catch_warnings():
            # embeddings are trained apart from the head on purpose; merging takes care of it (inference/load.py)
            warnings.filterwarnings("ignore", ".*tie_word_embeddings")
            wrapped = get_peft_model(model, self.adapter(model, config), autocast_adapter_dtype=half)
        for name, weight in wrapped.named_parameters():
            learns = weight.requires_grad and not OPTIMIZERS[config.optimizer].masters
            if learns or any(part in name for part in self.exact):
                weight.data = weight.data.float()
        return wrapped
