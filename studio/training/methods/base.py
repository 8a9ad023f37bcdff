"""The interface of a method: when it is available, which parameters it trains, and how it prepares a model."""

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

from studio.machine.facts import MachineFacts
from studio.models.trainable_parameters import shares_layers
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError, bad_setting
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.optimizers import OPTIMIZERS

Rates = Sequence[tuple[int, float, str]]
"""(up to this many parameters, learning rate, reason), in increasing order."""
NO_LIMIT = 10**15
SMALL_ENCODER = 50_000_000


class Draft(Protocol):
    """What a method needs of a plan to choose its size (planning/plan_builder.py: PlanDraft)."""

    info: ModelInfo
    preset: Any
    values: dict[str, Any]
    because: list[str]

    def put(self, name: str, value: Any, reason: str = "") -> None:
        """Set a value unless the user has set it, and add the reason."""


class Method(Protocol):
    """A training method. Imports no torch at module level."""

    name: str
    title: str
    sentence: str
    """How it trains, and when to choose it."""
    term: str
    result: str
    """`adapter` or `model`: what is saved as the result."""
    settings: Sequence[str]
    """Settings that this method uses, of those that not all methods use (`by_method` in schema/config.py)."""
    shape: Sequence[str]
    """Settings that can't change when a run continues another run's adapter."""
    combines_as: str
    """The method of several such adapters combined into one. Empty: they can't be combined."""
    averages: bool
    """Combined adapters are averaged and not summed."""
    learns_besides: str
    """What it trains besides matrices that can be summed, if it can't be combined."""
    quantized: bool
    """Whether the base model is loaded quantized."""
    has_rank: bool
    """Whether it trains low-rank matrices."""
    learns_virtual_tokens: bool
    """Whether virtual tokens precede the text."""
    trains_base_weights: bool
    """Whether weights of the base model itself are trained, and not an adapter."""
    always_exact: bool
    """Whether a lower precision saves no memory."""
    lighter: str
    """The method to suggest if this one does not fit into memory. Empty: none."""
    supports_checkpointing: bool
    """Whether it supports gradient checkpointing."""
    exact: Sequence[str]
    """Parts of weight names that stay in float32: near 1, a bfloat16 changes by at least 1/128."""
    keeps: float
    """Memory of activations per layer, relative to LoRA."""
    cost: float
    """Time of a step relative to LoRA (training.md, 5)."""
    epoch_factor: float
    """Factor of LoRA's epochs."""
    rates: Rates
    """The usual learning rates by the size of the model."""

    @property
    def continues(self) -> str:
        """Results with the same value have the same shape, and a run of one method can start from the other's."""

    def is_usual_for(self, model: ModelInfo) -> bool:
        """Whether this is the default method for a model, instead of `DEFAULT_METHOD`."""

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Why it can't be used with this model on this machine. Empty when it can."""

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """All settings that conflict with this method on this model."""

    def learned(self, model: ModelInfo, config: TrainingConfig, labels: int) -> int:
        """The number of trainable parameters. `labels` is the number of labels of a classifier, 0 for generated
        text."""

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """Share of the layers that the backward pass goes through, and whose activations are kept."""

    def learning_rate(self, model: ModelInfo, has_labels: bool, rows: int) -> tuple[float, str]:
        """The usual learning rate and its reason."""

    def choose_size(self, draft: Draft) -> None:
        """Choose the settings for the size of what is trained: rank, virtual tokens or layers."""

    def wrap(self, model: Any, config: TrainingConfig) -> Any:
        """The loaded model, prepared for training."""


class MethodDefaults:
    """Defaults that most methods share."""

    settings: Sequence[str] = ()
    shape: Sequence[str] = ()
    combines_as = ""
    averages = False
    learns_besides = "the model's own weights"
    quantized = False
    has_rank = False
    learns_virtual_tokens = False
    trains_base_weights = False
    always_exact = False
    lighter = ""
    supports_checkpointing = True
    exact: Sequence[str] = ()
    keeps = 1.0
    cost = 1.0
    epoch_factor = 1.0
    rates: Rates = ((NO_LIMIT, 2e-4, "usual for an adapter"),)

    @property
    def continues(self: Any) -> str:
        """By default, only runs of the same method continue each other."""
        return str(self.name)

    def is_usual_for(self, model: ModelInfo) -> bool:
        """Never the default."""
        return False

    def unavailable_reason(self, model: ModelInfo, task: Task, machine: MachineFacts) -> str:
        """Always available."""
        return ""

    def problems(self, model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
        """No problems by default."""
        return []

    def depth(self, model: ModelInfo, config: TrainingConfig) -> float:
        """The backward pass goes through all layers."""
        return 1.0

    def learning_rate(self, model: ModelInfo, has_labels: bool, rows: int) -> tuple[float, str]:
        """The first of `rates` for a model of this size."""
        return next((rate, reason) for most, rate, reason in self.rates if model.parameters < most)

    def choose_size(self, draft: Draft) -> None:
        """Nothing to choose by default."""


def frozen_layer_problems(model: ModelInfo, config: TrainingConfig) -> list[StudioError]:
    """A problem when no trainable layer is left."""
    frozen = config.frozen_layers
    if frozen and shares_layers(model):
        what = "All layers of this model share their weights, so freezing one would freeze all."
        return [bad_setting("frozen_layers", what, f"{frozen:,} layers frozen", "0")]
    if not model.layers or frozen < model.layers:
        return []
    given, valid = f"{frozen:,} of {model.layers:,} layers frozen", f"up to {model.layers - 1:,}"
    return [bad_setting("frozen_layers", "No trainable layer would be left.", given, valid)]


ALREADY_QUANTIZED = (
    "This model is quantized, and quantized weights can't be trained. Use LoRA, which trains an adapter beside them."
)
"""Why the weights of a quantized model can't be trained themselves."""


class AdapterMethod(MethodDefaults):
    """Common parts of methods that train a PEFT adapter on a frozen base model."""

    result = "adapter"

    def adapter(self, model: Any, config: TrainingConfig) -> Any:
        """The PEFT config of the adapter."""
        raise NotImplementedError

    def wrap(self, model: Any, config: TrainingConfig) -> Any:
        """The model with an adapter in the model's number format."""
        import torch
        from peft import get_peft_model

        # The optimizer keeps float32 copies, so the adapter does not need float32 (which costs a fifth of the time).
        half = torch.cuda.is_available() and config.precision == "float16"
        with warnings.catch_warnings():
            # embeddings are trained separately from the head on purpose; merging handles it (inference/load.py)
            warnings.filterwarnings("ignore", ".*tie_word_embeddings")
            wrapped = get_peft_model(model, self.adapter(model, config), autocast_adapter_dtype=half)
        copies = trained_copies(wrapped)
        formats = [next(copy.parameters()).dtype for copy in copies]
        for name, weight in wrapped.named_parameters():
            # Gradients in float16 can't be unscaled, so what is trained beside the adapter is float32, too.
            learns = weight.requires_grad and (half or not OPTIMIZERS[config.optimizer].masters)
            if learns or any(part in name for part in self.exact):
                weight.data = weight.data.float()
        for copy, dtype in zip(copies, formats, strict=True):
            if next(copy.parameters()).dtype != dtype:
                accept_format(copy, dtype)
        return wrapped


def trained_copies(model: Any) -> list[Any]:
    """The modules of a PEFT model that are trained fully: copies of a head, or of embeddings."""
    from peft.utils import ModulesToSaveWrapper

    wrappers = [part for part in model.modules() if isinstance(part, ModulesToSaveWrapper)]
    return [copy for part in wrappers for copy in part.modules_to_save.values()]


def accept_format(module: Any, dtype: Any) -> None:
    """Have a module with float32 weights work inside a model of a shorter format. PEFT does this only for the matrices
    of an adapter."""

    def in_float32(module: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(each.float() if hasattr(each, "dtype") and each.dtype == dtype else each for each in inputs)

    def as_before(module: Any, inputs: Any, output: Any) -> Any:
        return output.to(dtype)

    module.register_forward_pre_hook(in_float32)
    module.register_forward_hook(as_before)
