"""Presets, and the settings of a run worked out from rows, model, method and machine, each with its reason."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from studio.machine.facts import MachineFacts
from studio.models.trainable import linear_shapes
from studio.schema.checked import config_from
from studio.schema.config import Plan, TrainingConfig
from studio.schema.errors import named, raise_all
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training.checking import STEADY, against_rows, check_settings, without_effect
from studio.training.estimate import estimate
from studio.training.methods import method_named
from studio.training.optimizers import OPTIMIZERS
from studio.training.plan_facts import PlanFacts, as_learned, in_pieces, memory_of
from studio.training.rates import OF_TASKS, learning_rate
from studio.training.rhythm import CHECKS, check_every, total_steps
from studio.training.room import room

__all__ = ["PRESETS", "PlanFacts", "Preset", "default_method", "estimate", "make_plan", "preset_named"]

SMALL_ENCODER = 500_000_000
"""Parameters up to which an encoder learns whole."""


@dataclass(frozen=True)
class Preset:
    """How thoroughly to train."""

    name: str
    title: str
    sentence: str
    passes: float
    """Times the usual number of passes."""
    rank: int
    patience: int


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset("quick", "Quick try", "A third of the passes. Shows soon whether the data is right.", 1 / 3, 8, 2),
        Preset("balanced", "Balanced", "As many passes as your rows need. Right for most data.", 1, 8, 3),
        Preset("thorough", "Thorough", "Twice the passes, a wider adapter. For lasting use.", 2, 16, 5),
    )
}  # fmt: skip


PASSES: dict[str, tuple[tuple[int, int], ...]] = {
    "text": ((60, 10), (150, 6), (300, 4), (2_000, 3), (10_000, 2)),
    "labels": ((60, 15), (150, 10), (600, 6), (5_000, 4), (20_000, 2)),
}
"""Up to so many rows to learn from, so many passes; one above all."""
SEEN_A_LABEL, MOST_FOR_LABELS = 240, 20
"""How often a model sees rows of each label, where there are few rows of each; and the passes that it gets for it."""
RANK_WORDS = {"quick": "a look", "balanced": "a tone, a form, a few hundred facts", "thorough": "much that is new"}
"""Preset → what its rank can learn."""
SLOW: dict[str, float] = {"scales": 1.5, "prompts": 2}
"""Families of methods that need more passes than LoRA."""


class _Draft:
    """Values so far. What a person set by hand stays as it is."""

    def __init__(
        self,
        task: Task,
        info: ModelInfo,
        preset: Preset,
        facts: PlanFacts,
        machine: MachineFacts,
        values: dict[str, Any],
    ) -> None:
        self.task, self.info, self.preset, self.facts, self.machine = task, info, preset, facts, machine
        self.method = method_named(values["method"])
        self.fixed = set(values)
        self.values = dict(values)
        self.because: list[str] = []

    def put(self, name: str, value: Any, reason: str = "") -> None:
        """Set a value that nobody set by hand, and say why."""
        if name not in self.fixed:
            self.values[name] = value
            if reason:
                self.because.append(reason)

    def config(self) -> TrainingConfig:
        """The values as a checked config."""
        return config_from(self.values)

    @property
    def learned(self) -> PlanFacts:
        """The rows as the trainer gets them; their greatest length must be known."""
        return as_learned(self.facts, self.config())

    @property
    def virtual_tokens(self) -> int:
        """Tokens of the context that the method takes for itself."""
        return int(self.values["virtual_tokens"]) if self.method.family == "prompts" else 0

    @property
    def may_recompute(self) -> bool:
        """Whether activations are kept and need not be."""
        kept = not self.values.get("gradient_checkpointing") and "gradient_checkpointing" not in self.fixed
        return kept and self.method.recomputes


def default_method(task: Task, info: ModelInfo) -> str:
    """Small encoders learn whole, everything else by an adapter."""
    return "full" if info.kind == "encoder" and info.parameters <= SMALL_ENCODER else "lora"


def preset_named(name: str) -> Preset:
    """The preset of that name, or a `StudioError` with the nearest one."""
    return named(PRESETS, name, "preset", field="preset")


def make_plan(
    task: Task,
    info: ModelInfo,
    method: str,
    preset: str,
    facts: PlanFacts,
    machine: MachineFacts,
    overrides: dict[str, Any],
    name: str,
) -> Plan:
    """A config with every value filled in. `overrides` are settings by field name, set by hand."""
    chosen = preset_named(preset)
    head = {"task": task.name, "model": info.name, "method": method, "preset": preset, "name": name}
    by_hand = {key.replace("-", "_"): value for key, value in overrides.items()}
    check_settings(info, machine, {**head, **by_hand})
    draft = _Draft(task, info, chosen, facts, machine, {**head, **by_hand})
    for part in PARTS:
        part(draft)
    config = draft.config()
    raise_all([*against_rows(config, facts, by_hand), *draft.method.problems(info, config)])
    draft.because += without_effect(task, info, machine, config, facts, by_hand)
    changed = tuple(key for key in by_hand if key in TrainingConfig.model_fields)
    return Plan(config=config, because=tuple(draft.because), changed=changed)


def _batch(draft: _Draft) -> None:
    """Rows at once: few where a core computes them one after the other, more on a GPU and for short work."""
    size = 16 if draft.task.has_labels else 8 if draft.machine.gpus else 4
    size = min(size, max(1, draft.learned.train_rows // 4))
    draft.put("batch_size", math.ceil(size / draft.config().processes))
    draft.put("gradient_accumulation", 1)


def _passes(draft: _Draft) -> None:
    rows = draft.facts.train_rows
    table = PASSES["labels" if draft.task.has_labels else "text"]
    usual = next((passes for most, passes in table if rows <= most), 1)
    each = rows / max(1, draft.facts.labels)
    for_labels = min(MOST_FOR_LABELS, math.ceil(SEEN_A_LABEL / max(each, 1))) if draft.task.has_labels else 0
    slow = SLOW.get(draft.method.family, 1)
    passes = max(1, round(max(usual, for_labels) * draft.preset.passes * slow))
    more = "" if slow == 1 else f" {draft.method.title} learns slowly, and needs {slow:g} times the passes of LoRA."
    few = f", about {each:,.0f} of each label" if for_labels > usual else ""
    draft.put(
        "epochs",
        passes,
        f"{passes} {'pass' if passes == 1 else 'passes'}, because there are {rows:,} rows to learn from{few}.{more}",
    )


def _rate(draft: _Draft) -> None:
    rate, reason = learning_rate(draft.info, draft.values["method"], draft.task.has_labels, draft.facts.train_rows)
    if draft.task.name in OF_TASKS:
        share, reason = OF_TASKS[draft.task.name]
        rate *= share
    draft.put("learning_rate", rate, f"Learning rate {rate:g}: {reason}.")
    draft.put("scheduler", "linear" if draft.task.has_labels else "cosine")
    share = 0.1 if draft.task.has_labels else 0.05
    if draft.values["scheduler"] == STEADY:
        draft.put("warmup_share", 0.0)
    else:
        words = f"The rate rises over the first {share:.0%} of the steps, so that none upsets it."
        draft.put("warmup_share", share, words)
    draft.put("weight_decay", 0.01 if draft.method.result == "model" else 0.0)
    if draft.facts.labels:  # scores have none
        draft.put("label_smoothing", 0.1, "Labels are learned with a little doubt (0.1), as some are always wrong.")


def _length(draft: _Draft) -> None:
    """Long enough for all rows, or for nearly all where a few would cost much."""
    facts, context = draft.facts, (draft.info.context or 2048) - draft.virtual_tokens
    most = min(context, 2048 if draft.machine.gpus else 1024)
    wanted = facts.longest if facts.longest <= most else facts.percentile(0.99)
    length = min(max(64, math.ceil(wanted / 32) * 32), most)
    length = max(16, min(length, context))
    reason = f"Rows of up to {length:,} tokens: none is cut."
    if facts.longest > length and in_pieces(draft.task, draft.info.kind):
        reason = f"Up to {length:,} tokens at once: longer texts are learned in pieces, and none is cut."
    elif facts.longest > length:
        cut = sum(tokens > length for tokens in facts.token_lengths)
        share = cut / max(1, len(facts.token_lengths))
        reason = f"Rows of up to {length:,} tokens: {max(share, 0.001):.1%} of the rows are longer and will be cut."
    draft.put("max_length", length, reason)


def _adapter(draft: _Draft) -> None:
    """Width and strength of what learns: of the adapter, in virtual tokens, or in layers."""
    method, preset = draft.method, draft.preset
    if method.family == "low-rank":
        wide = method.name == "rslora"
        widest = min((min(shape) for shape in linear_shapes(draft.info, False, False)), default=1024)
        rank = max(1, min(preset.rank * (4 if wide else 1), widest))
        why = "wide adapters are what rsLoRA is for" if wide else f"enough for {RANK_WORDS[preset.name]}"
        draft.put("lora_rank", rank, f"Rank {rank}: {why}.")
        rank = int(draft.values["lora_rank"])
        draft.put("lora_alpha", max(1, round(2 * math.sqrt(rank))) if wide else 2 * rank)
    elif method.family == "prompts":
        tokens = max(1, min(2 * preset.rank, (draft.info.context or 2048) // 8))
        draft.put("virtual_tokens", tokens, f"{tokens} virtual tokens: enough for a tone or a form.")
    elif method.family == "last":
        layers = max(1, round(draft.info.layers * (0.5 if preset.passes > 1 else 0.25)))
        draft.put("last_layers", layers, f"The last {layers} of {draft.info.layers} layers learn.")


def _precision(draft: _Draft) -> None:
    machine = draft.machine
    chosen = OPTIMIZERS[draft.config().optimizer]
    if draft.info.kind == "encoder":
        draft.put("precision", "float32", "Computed in float32: the model is small, and it is the most exact.")
    elif draft.method.result == "model" and not chosen.masters:
        draft.put("precision", "float32", f"Computed in float32: {chosen.name} keeps no exact copies of the weights.")
    elif machine.gpus or machine.bfloat16_fast:
        where = "the GPU" if machine.gpus else "this processor"
        draft.put("precision", "bfloat16", f"Computed in bfloat16, which {where} does fast.")
    else:
        draft.put("precision", "float32", "Computed in float32: this processor is slow at shorter formats.")


def _memory(draft: _Draft) -> None:
    """Fewer rows at once, then computing twice, until it fits; in order of harm."""
    most, halved = room(draft.machine), 0
    while memory_of(draft.config(), draft.info, draft.facts, draft.machine) > most:
        size = draft.values["batch_size"]
        if size > 1 and not {"batch_size", "gradient_accumulation"} & draft.fixed:
            draft.put("batch_size", size // 2)
            draft.put("gradient_accumulation", 2 * draft.values.get("gradient_accumulation", 1))
            halved += 1
        elif draft.may_recompute:
            draft.put("gradient_checkpointing", True, "Activations are computed twice, or it would not fit the memory.")
        else:
            break
    _say_batch(draft, halved > 0)


def _say_batch(draft: _Draft, halved: bool) -> None:
    size = draft.values["batch_size"]
    words = f"{size} {'row' if size == 1 else 'rows'} at once"
    if (count := draft.config().processes) > 1:
        words += f" in each of {count} processes"
    if halved:
        goes = draft.values["gradient_accumulation"]
        draft.because.append(f"{words} in {goes} goes a step, or it would not fit the memory.")
    elif "batch_size" not in draft.fixed:
        few = size == max(1, draft.learned.train_rows // 4)
        short = "labels are learned from short texts, many at once"
        why = "there are few rows" if few else short if draft.task.has_labels else (
            "a GPU computes many together" if draft.machine.gpus else "a processor gains nothing by more")  # fmt: skip
        draft.because.append(f"{words}: {why}.")


def _checks(draft: _Draft) -> None:
    facts = draft.learned
    if not facts.validation_rows:
        draft.put("keep_best", False, "The last step is kept: no rows are set aside to tell which step is the best.")
        draft.put("early_stopping_patience", 0)
        return
    draft.put("early_stopping_patience", draft.preset.patience)
    rows = 512 if draft.task.has_labels else 32
    kept = "; the best step is kept" if draft.config().keep_best else ""
    checked = min(draft.facts.validation_rows, rows)
    draft.put("eval_rows", rows, f"Checked on {checked:,} rows that are not learned from{kept}.")
    config = draft.config()
    every, steps = check_every(facts.train_rows, facts.validation_rows, config), total_steps(facts.train_rows, config)
    when = "every step" if every == 1 else f"every {every:,} steps"
    why = f"{math.ceil(steps / every)} checks in the run show which step is the best"
    if every > math.ceil(steps / CHECKS):
        why = "more often would take too much of the run's time"
    elif steps == 1:
        why = "the run has no more than one"
    draft.put("eval_steps", every, f"Checked {when}: {why}.")


PARTS: tuple[Callable[[_Draft], None], ...] = (
    _passes, _rate, _adapter, _length, _batch, _precision, _memory, _checks,
)  # fmt: skip
"""In this order: later ones look at what earlier ones set."""
