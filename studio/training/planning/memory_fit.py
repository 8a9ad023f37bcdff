"""Make it fit: from settings that need more memory than there is to settings that do not, least harm first.

Each remedy is tried until it has nothing more to give; the plan is worked out anew after each, so that what follows
from a change changes too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from studio.machine.facts import MachineFacts
from studio.schema.config import WHOLE, Plan, TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.limits import OWNER, Limits
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.methods import METHODS
from studio.training.optimizers import OPTIMIZERS
from studio.training.planning.gradient_checkpointing import recomputes
from studio.training.planning.memory_budget import room, room_beside
from studio.training.planning.memory_model import offloaded_memory
from studio.training.planning.parallelism import further, way_of
from studio.training.planning.plan_facts import PlanFacts, labels_told_apart, memory_of
from studio.training.planning.presets import make_plan

SHORTEST = 64
"""Tokens below which rows are not cut to make a run fit."""


@dataclass(frozen=True)
class Change:
    """What is changed, and what it costs."""

    sentence: str
    settings: dict[str, Any] = field(default_factory=dict)
    method: str = ""


@dataclass(frozen=True)
class Asked:
    """What is to be fitted, and into what."""

    task: Task
    info: ModelInfo
    preset: str
    facts: PlanFacts
    machine: MachineFacts
    name: str = ""
    limits: Limits = OWNER

    def plan(self, method: str, settings: dict[str, Any]) -> Plan:
        """All values, worked out around these."""
        return make_plan(
            self.task, self.info, method, self.preset, self.facts, self.machine, settings, self.name, self.limits
        )

    def fits(self, plan: Plan) -> bool:
        """Whether the plan leaves a little room, of the GPU's memory and of the machine's own."""
        computed = memory_of(plan.config, self.info, self.facts, self.machine) <= room(self.machine)
        return computed and self.holds_beside(plan.config)

    def holds_beside(self, config: TrainingConfig) -> bool:
        """Whether the machine's own memory has room for what it is to hold in place of its GPUs'."""
        held = offloaded_memory(self.info, config, labels_told_apart(config, self.facts)) if self.machine.gpus else 0
        return held <= room_beside(self.machine)


def fit(asked: Asked, method: str, settings: dict[str, Any]) -> tuple[str, dict[str, Any], list[Change]]:
    """Method, settings and changes with which it fits; a refusal that says what was tried when nothing does."""
    settings = dict(settings)
    changes: list[Change] = []
    plan = asked.plan(method, settings)
    for remedy in REMEDIES:
        for _ in range(20):
            if asked.fits(plan):
                return method, settings, changes
            change = remedy(plan.config, asked)
            if change is None:
                break
            changed = change.method or method, _merged(settings, change.settings)
            try:
                plan = asked.plan(*changed)
            except StudioError:  # at odds with another setting: an optimizer that ZeRO can't share out, say
                break
            method, settings = changed
            changes.append(change)
    if asked.fits(plan):
        return method, settings, changes
    needed, there = memory_of(plan.config, asked.info, asked.facts, asked.machine), room(asked.machine)
    raise StudioError(
        "does-not-fit",
        f"{asked.info.title} does not fit this machine's memory, whatever the settings.",
        given=f"at the least {needed / 2**30:.1f} GB needed, and {there / 2**30:.1f} GB to be had",
        hint="Choose a smaller model, or close other programs.",
        field="model",
    )


def _merged(settings: dict[str, Any], changed: dict[str, Any]) -> dict[str, Any]:
    """With the changes; a None leaves a setting to the presets again."""
    return {name: value for name, value in {**settings, **changed}.items() if value is not None}


def _held_here(config: TrainingConfig, asked: Asked) -> Change | None:
    if asked.holds_beside(config):
        return None
    return Change(
        "What the GPUs share out is held in their own memory: this machine's has no room for it. It learns the same.",
        {"offload": "none"},
    )


def _one_process(config: TrainingConfig, asked: Asked) -> Change | None:
    if config.processes == 1 or asked.machine.gpus:
        return None
    alone = {"processes": 1, "zero": 0, "fsdp": False, "offload": "none", "batch_size": config.together}
    return Change(f"One process instead of {config.processes}: it learns the same, and holds all but once.", alone)


def _fewer_at_once(config: TrainingConfig, asked: Asked) -> Change | None:
    size, goes = config.batch_size // 2, config.gradient_accumulation * 2
    if not size or goes > 1024:
        return None
    words = f"{size} {'row' if size == 1 else 'rows'} at once instead of {config.batch_size}, in {goes} goes a step: "
    return Change(words + "it learns the same, a little slower.", {"batch_size": size, "gradient_accumulation": goes})


def _twice(config: TrainingConfig, asked: Asked) -> Change | None:
    if config.gradient_checkpointing or not METHODS[config.method].recomputes or not recomputes(asked.info):
        return None
    return Change(
        "Activations are computed twice instead of kept: it learns the same, a third slower.",
        {"gradient_checkpointing": True},
    )


def _more_shared(config: TrainingConfig, asked: Asked) -> Change | None:
    if config.processes == 1 or not asked.machine.gpus or (way := further(config, asked.machine)) is None:
        return None
    held = way.sentence.rstrip(".")
    return Change(
        f"{way.title} instead of {way_of(config).title}: {held[0].lower()}{held[1:]}, and it learns the same.",
        way.settings,
    )


def _held_elsewhere(config: TrainingConfig, asked: Asked) -> Change | None:
    if config.processes == 1 or not asked.machine.gpus or not config.zero or config.offload != "none":
        return None
    away = config.model_copy(update={"offload": "cpu"})
    if not asked.holds_beside(away):
        return None
    return Change(
        "What the GPUs share out is held in the machine's memory instead of theirs: it learns the same, and slower, "
        "since it goes to and fro.",
        {"offload": "cpu"},
    )


def _shorter_numbers(config: TrainingConfig, asked: Asked) -> Change | None:
    exact = config.method in WHOLE and not OPTIMIZERS[config.optimizer].masters
    if config.precision != "float32" or config.method == "full" or exact:
        return None
    slow = "" if asked.machine.gpus or asked.machine.bfloat16_fast else ", and slower on this processor"
    return Change(
        f"Held in bfloat16 instead of float32: half the memory, a little less exact{slow}.", {"precision": "bfloat16"}
    )


def _lighter_optimizer(config: TrainingConfig, asked: Asked) -> Change | None:
    if config.method not in WHOLE or config.optimizer == "adafactor":
        return None
    return Change(
        "Adafactor instead of AdamW: hardly any memory for the optimizer; it may learn a little worse.",
        {"optimizer": "adafactor", "precision": "float32"},
    )


def _by_adapter(config: TrainingConfig, asked: Asked) -> Change | None:
    if config.method not in ("full", "last-layers", "lora-embeddings", "dora"):
        return None
    title = METHODS[config.method].title
    return Change(
        f"LoRA instead of {title}: a small adapter learns beside the frozen model, at a rate of its own.",
        {"optimizer": None, "precision": None, "learning_rate": None},
        "lora",
    )


def _in_four_bits(config: TrainingConfig, asked: Asked) -> Change | None:
    if config.method not in ("lora", "rslora") or METHODS["qlora"].unavailable_reason(
        asked.info, asked.task, asked.machine
    ):
        return None
    return Change("QLoRA: the model is held in 4 bits while it learns, and knows a little less.", {}, "qlora")


def _shorter_rows(config: TrainingConfig, asked: Asked) -> Change | None:
    longest = min(config.max_length, asked.facts.longest or config.max_length)
    wanted = max(SHORTEST, longest // 2)
    if wanted >= longest:
        return None
    lengths = asked.facts.token_lengths
    cut = sum(length > wanted for length in lengths) / max(1, len(lengths))
    return Change(
        f"Rows of up to {wanted:,} tokens instead of {longest:,}: {cut:.0%} of the rows are cut, and their ends are "
        "not learned.",
        {"max_length": wanted},
    )


REMEDIES: tuple[Callable[[TrainingConfig, Asked], Change | None], ...] = (
    _held_here,
    _one_process,
    _fewer_at_once,
    _twice,
    _more_shared,
    _held_elsewhere,
    _shorter_numbers,
    _lighter_optimizer,
    _by_adapter,
    _in_four_bits,
    _shorter_rows,
)
"""Least harm first: what learns the same, what learns nearly the same, what learns less, what learns from less."""
