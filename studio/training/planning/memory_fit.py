"""Fits a run into memory: changes settings step by step until they fit, the least harmful changes first.

Each remedy is applied until it has no further effect. The plan is computed again after each, so that dependent settings
change too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from studio.schema.config import Plan, TrainingConfig
from studio.schema.errors import StudioError
from studio.training.methods import METHODS, trains_base_weights
from studio.training.methods.base import Method
from studio.training.optimizers import OPTIMIZERS
from studio.training.planning.gradient_checkpointing import supports_checkpointing
from studio.training.planning.memory_budget import host_memory_budget, memory_budget
from studio.training.planning.memory_model import offloaded_memory
from studio.training.planning.parallelism import next_strategy, strategy_of
from studio.training.planning.plan_builder import PlanRequest
from studio.training.planning.plan_facts import label_count, memory_of
from studio.training.planning.presets import make_plan

MIN_LENGTH = 64
"""Maximum length below which rows are not truncated to fit."""


@dataclass(frozen=True)
class Change:
    """A change of settings and its consequences."""

    sentence: str
    settings: dict[str, Any] = field(default_factory=dict)
    method: str = ""


def _fits(plan: Plan, request: PlanRequest) -> bool:
    """Whether the plan fits, with a margin, into the memory of the GPU and of the machine."""
    needed = memory_of(plan.config, request.info, request.facts, request.machine)
    return needed <= memory_budget(request.machine) and _offload_fits(plan.config, request)


def _offload_fits(config: TrainingConfig, request: PlanRequest) -> bool:
    """Whether the machine's memory can hold the data that is offloaded from the GPUs."""
    if not request.machine.gpus:
        return True
    offloaded = offloaded_memory(request.info, config, label_count(config, request.facts))
    return offloaded <= host_memory_budget(request.machine)


def fit(request: PlanRequest, method: str, settings: dict[str, Any]) -> tuple[str, dict[str, Any], list[Change]]:
    """Method, settings and changes that fit. Raises `does-not-fit` when nothing does."""
    settings = dict(settings)
    changes: list[Change] = []
    plan = make_plan(request, method, settings)
    for remedy in REMEDIES:
        for _ in range(20):
            if _fits(plan, request):
                return method, settings, changes
            change = remedy(plan.config, request)
            if change is None:
                break
            changed = change.method or method, _merged(settings, change.settings)
            try:
                plan = make_plan(request, *changed)
            except StudioError:  # conflicts with another setting, for example an optimizer that ZeRO can't shard
                break
            method, settings = changed
            changes.append(change)
    if _fits(plan, request):
        return method, settings, changes
    needed = memory_of(plan.config, request.info, request.facts, request.machine)
    available = memory_budget(request.machine)
    raise StudioError(
        "does-not-fit",
        f"{request.info.title} does not fit into this machine's memory with any settings.",
        given=f"at least {needed / 2**30:.1f} GB needed, {available / 2**30:.1f} GB available",
        hint="Choose a smaller model, or close other programs.",
        field="model",
    )


def _merged(settings: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """The settings with the changes. None removes a setting, so that the presets choose it."""
    return {name: value for name, value in {**settings, **changed}.items() if value is not None}


def _keep_on_gpu(config: TrainingConfig, request: PlanRequest) -> Change | None:
    if _offload_fits(config, request):
        return None
    return Change(
        "Sharded data stays on the GPUs, because this machine's memory is too small for it. The result is the same.",
        {"offload": "none"},
    )


def _single_process(config: TrainingConfig, request: PlanRequest) -> Change | None:
    if config.processes == 1 or request.machine.gpus:
        return None
    alone = {"processes": 1, "zero": 0, "fsdp": False, "offload": "none", "batch_size": config.together}
    return Change(f"One process instead of {config.processes}, which needs less memory. The result is the same.", alone)


def _halve_batch_size(config: TrainingConfig, request: PlanRequest) -> Change | None:
    divided = divided_batch(config)
    if divided is None:
        return None
    size, accumulation = divided.values()
    return Change(
        f"Batch size {size} instead of {config.batch_size}, with gradient accumulation {accumulation}. "
        "The result is the same, and training is slightly slower.",
        divided,
    )


def divided_batch(config: TrainingConfig) -> dict[str, int] | None:
    """Half the batch size, or less where only that divides it, and more gradient accumulation. None when that is
    impossible.

    A step has as many rows as before. Otherwise a run that is resumed with it would read rows twice.
    """
    size = next((each for each in range(config.batch_size // 2, 0, -1) if config.batch_size % each == 0), 0)
    accumulation = config.gradient_accumulation * config.batch_size // max(1, size)
    return {"batch_size": size, "gradient_accumulation": accumulation} if size and accumulation <= 1024 else None


def _checkpoint_activations(config: TrainingConfig, request: PlanRequest) -> Change | None:
    if (
        config.gradient_checkpointing
        or not METHODS[config.method].supports_checkpointing
        or not supports_checkpointing(request.info)
    ):
        return None
    return Change(
        "Gradient checkpointing computes activations twice. The result is the same, and training is a third slower.",
        {"gradient_checkpointing": True},
    )


def _shard_more(config: TrainingConfig, request: PlanRequest) -> Change | None:
    if (
        config.processes == 1
        or not request.machine.gpus
        or (strategy := next_strategy(config, request.machine)) is None
    ):
        return None
    sentence = strategy.sentence.rstrip(".")
    benefit = sentence[0].lower() + sentence[1:]
    return Change(
        f"{strategy.title} instead of {strategy_of(config).title}: {benefit}. The result is the same.",
        strategy.settings,
    )


def _offload_to_cpu(config: TrainingConfig, request: PlanRequest) -> Change | None:
    if config.processes == 1 or not request.machine.gpus or not config.zero or config.offload != "none":
        return None
    offloading = config.model_copy(update={"offload": "cpu"})
    if not _offload_fits(offloading, request):
        return None
    return Change(
        "Sharded data is offloaded to the machine's memory (CPU). The result is the same, and training is slower.",
        {"offload": "cpu"},
    )


def _use_bfloat16(config: TrainingConfig, request: PlanRequest) -> Change | None:
    method = METHODS[config.method]
    exact = method.always_exact or (method.trains_base_weights and not OPTIMIZERS[config.optimizer].masters)
    if config.precision != "float32" or exact:
        return None
    sentence = "Precision bfloat16 instead of float32: half the memory, slightly less exact, and slower on this CPU."
    if request.machine.gpus or request.machine.bfloat16_fast:
        sentence = "Precision bfloat16 instead of float32: half the memory, slightly less exact."
    return Change(sentence, {"precision": "bfloat16"})


def _lighter_optimizer(config: TrainingConfig, request: PlanRequest) -> Change | None:
    if not trains_base_weights(config.method) or config.optimizer == "adafactor":
        return None
    return Change(
        "Adafactor instead of AdamW: the optimizer needs hardly any memory. The result may be slightly worse.",
        {"optimizer": "adafactor", "precision": "float32"},
    )


def _use_adapter(config: TrainingConfig, request: PlanRequest) -> Change | None:
    lighter = _lighter_method(config)
    if lighter is None or lighter.quantized:
        return None
    title = METHODS[config.method].title
    return Change(
        f"{lighter.title} instead of {title}: only a small adapter is trained, with its own learning rate.",
        {"optimizer": None, "precision": None, "learning_rate": None},
        lighter.name,
    )


def _quantize_base(config: TrainingConfig, request: PlanRequest) -> Change | None:
    lighter = _lighter_method(config)
    if lighter is None or not lighter.quantized:
        return None
    if lighter.unavailable_reason(request.info, request.task, request.machine):
        return None
    text = f"{lighter.title}: the model is quantized to 4 bits during training. The result may be slightly worse."
    return Change(text, {}, lighter.name)


def _lighter_method(config: TrainingConfig) -> Method | None:
    return METHODS.get(METHODS[config.method].lighter)


def _shorten_rows(config: TrainingConfig, request: PlanRequest) -> Change | None:
    longest = min(config.max_length, request.facts.longest or config.max_length)
    new_length = max(MIN_LENGTH, longest // 2)
    if new_length >= longest:
        return None
    lengths = request.facts.token_lengths
    cut = sum(length > new_length for length in lengths) / max(1, len(lengths))
    return Change(
        f"Maximum length {new_length:,} tokens instead of {longest:,}: {cut:.0%} of the rows are truncated, and the "
        "model does not learn their ends.",
        {"max_length": new_length},
    )


REMEDIES: tuple[Callable[[TrainingConfig, PlanRequest], Change | None], ...] = (
    _keep_on_gpu,
    _single_process,
    _halve_batch_size,
    _checkpoint_activations,
    _shard_more,
    _offload_to_cpu,
    _use_bfloat16,
    _lighter_optimizer,
    _use_adapter,
    _quantize_base,
    _shorten_rows,
)
"""In order of increasing harm: same result, nearly the same result, a weaker method, less data."""
