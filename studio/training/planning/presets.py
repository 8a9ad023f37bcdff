"""Presets, and the settings of a run worked out from rows, model, method and machine, each with its reason."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from studio.machine.facts import MachineFacts
from studio.models.trainable_parameters import has_experts, linear_shapes
from studio.schema.config import HEADED, Plan, TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.limits import OWNER, Limits
from studio.schema.models import ModelInfo
from studio.schema.settings_check import gathered, raise_once, sifted
from studio.tasks import Task
from studio.training.methods import METHODS, method_named
from studio.training.optimizers import OPTIMIZERS
from studio.training.planning.estimate import estimate
from studio.training.planning.eval_schedule import CHECKS, check_every, total_steps
from studio.training.planning.learning_rates import OF_TASKS, learning_rate
from studio.training.planning.memory_budget import room
from studio.training.planning.plan_builder import PRESETS, USUAL, Draft, Preset, preset_named
from studio.training.planning.plan_facts import PlanFacts, in_pieces, memory_of
from studio.training.planning.plan_limits import over_limits, too_many_steps, within_limits
from studio.training.planning.setting_checks import (
    STEADY,
    STEPS_FOLLOW,
    against_rows,
    knows_rows,
    without_effect,
    wrong_settings,
)

__all__ = [
    "PRESETS",
    "PlanFacts",
    "Preset",
    "default_method",
    "estimate",
    "make_plan",
    "plan_problems",
    "preset_named",
]

SMALL_ENCODER = 500_000_000
"""Parameters up to which an encoder learns whole."""
LITTLE_DATA = 150
"""Rows to learn from up to which it is told what may help a model that learns whole not to learn them by heart."""
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


def default_method(task: Task, info: ModelInfo) -> str:
    """Small encoders learn whole, everything else by an adapter."""
    whole = info.kind == "encoder" and info.parameters <= SMALL_ENCODER and not info.quantised
    return "full" if whole else "lora"


def make_plan(
    task: Task,
    info: ModelInfo,
    method: str,
    preset: str,
    facts: PlanFacts,
    machine: MachineFacts,
    overrides: dict[str, Any],
    name: str,
    limits: Limits = OWNER,
) -> Plan:
    """A config with every value filled in, or all that is wrong with what is asked, at once.

    `overrides` are settings by field name, set by hand. They change neither task nor model, method, preset or name.
    """
    head = {"task": task.name, "model": info.name, "method": method, "preset": preset, "name": name}
    by_hand = {key.replace("-", "_"): value for key, value in overrides.items()}
    _, values, problems = _sifted(info, machine, {**by_hand, **head})
    draft = _drafted(task, info, facts, machine, values, limits)
    config = draft.config()
    raise_once([*problems, *over_limits(values, limits), *_against(draft, values, problems)])
    draft.because += without_effect(task, info, machine, config, facts, by_hand)
    changed = tuple(key for key in by_hand if key in TrainingConfig.model_fields)
    return Plan(config=config, because=tuple(draft.because), changed=changed)


def plan_problems(
    task: Task | None,
    info: ModelInfo | None,
    facts: PlanFacts | None,
    machine: MachineFacts,
    values: Mapping[str, Any],
    limits: Limits = OWNER,
) -> list[StudioError]:
    """What `make_plan` would refuse, as far as it can be known of what there is.

    `values` are all that was asked, method and preset among them. Of these few it depends on another whether they are
    right, and nothing is said of them before that one is:

    - without rows that can be used and divided: whether there are enough of them for a batch and a check;
    - without their tokens, where texts share a row or are learned in pieces: the same;
    - without a model that can do the task: what belongs to a model or method, and how many steps there are;
    - where passes, batch, preset or method are none (`STEPS_FOLLOW`): whether a check comes before the last step.
    """
    config, kept, problems = _sifted(info, machine, values)
    problems += over_limits(kept, limits)
    if task is None or facts is None or not knows_rows(task, info, facts):
        return problems
    if info is None or task.unavailable_reason(info):
        return [*problems, *against_rows(config, facts, kept, STEPS_FOLLOW)]
    return [*problems, *_against(_drafted(task, info, facts, machine, kept, limits), kept, problems)]


def _sifted(
    info: ModelInfo | None, machine: MachineFacts, given: Mapping[str, Any]
) -> tuple[TrainingConfig, dict[str, Any], list[StudioError]]:
    """Of what was asked the values that can be by themselves, a config of them, and all that is wrong before rows."""
    config, values, problems = sifted(given)
    problems += wrong_settings(info, machine, config, values)
    with gathered(problems):
        preset_named(config.preset)
    with gathered(problems):
        method_named(config.method)
    return config, values, problems


def _drafted(
    task: Task,
    info: ModelInfo,
    facts: PlanFacts,
    machine: MachineFacts,
    values: Mapping[str, Any],
    limits: Limits = OWNER,
) -> Draft:
    """All values worked out around these; the usual preset and method stand in for such as there are not."""
    method = values["method"] if values.get("method") in METHODS else default_method(task, info)
    preset = PRESETS.get(values.get("preset", ""), PRESETS[USUAL])
    draft = Draft(task, info, preset, facts, machine, {**values, "method": method}, limits)
    for part in PARTS:
        part(draft)
    return draft


def _against(draft: Draft, by_hand: Mapping[str, Any], problems: list[StudioError]) -> list[StudioError]:
    """What is at odds with the rows, or with what was worked out from them."""
    config = draft.config()
    found = against_rows(config, draft.facts, by_hand, {each.field for each in problems})
    found += too_many_steps(draft)
    stands_in = by_hand.get("method") != draft.method.name
    return found if stands_in else [*found, *draft.method.problems(draft.info, config)]


def _batch(draft: Draft) -> None:
    """Rows at once: few where a core computes them one after the other, more on a GPU and for short work."""
    size = 16 if draft.task.has_labels else 8 if draft.machine.gpus else 4
    size = min(size, max(1, draft.learned.train_rows // 4))
    draft.put("batch_size", math.ceil(size / draft.config().processes))
    draft.put("gradient_accumulation", 1)


def _passes(draft: Draft) -> None:
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


def _rate(draft: Draft) -> None:
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


def _length(draft: Draft) -> None:
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


def _adapter(draft: Draft) -> None:
    """Width and strength of what learns: of the adapter, in virtual tokens, or in layers."""
    method, preset = draft.method, draft.preset
    if method.family == "low-rank":
        wide = method.name == "rslora"
        widest = min((min(shape) for shape in linear_shapes(draft.info, False, False)), default=1024)
        rank = max(1, min(preset.rank * (4 if wide else 1), widest))
        if has_experts(draft.info):
            draft.because.append("The experts of this model stay as they are: the adapter stands beside all else.")
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


def _precision(draft: Draft) -> None:
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


def _memory(draft: Draft) -> None:
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


def _say_batch(draft: Draft, halved: bool) -> None:
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
        why = (
            "there are few rows"
            if few
            else short
            if draft.task.has_labels
            else ("a GPU computes many together" if draft.machine.gpus else "a processor gains nothing by more")
        )
        draft.because.append(f"{words}: {why}.")


def _checks(draft: Draft) -> None:
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


def _little_data(draft: Draft) -> None:
    """Told and not set: which of them helps differs from rows to rows, and was not measured to help with most."""
    rows = draft.facts.train_rows
    whole = draft.info.kind == "encoder" and draft.method.name == "full"
    if not whole or rows > LITTLE_DATA or {"head_first", "layer_decay", "dropout"} & draft.fixed:
        return
    head = "the head learn alone at first (only the head learns for: 0.2)" if draft.task.name in HEADED else ""
    slower = "lower layers move less (rate of each layer below: 0.9)"
    draft.because.append(
        f"Little data: with {rows:,} rows it may help to let {' or '.join(filter(None, [head, slower]))}, or to leave "
        "more out at random (dropout in the model: 0.2). None of these is set: try one, and compare."
    )


PARTS: tuple[Callable[[Draft], None], ...] = (
    _passes,
    _rate,
    _adapter,
    _length,
    _batch,
    _precision,
    _memory,
    within_limits,
    _checks,
    _little_data,
)
"""In this order: later ones look at what earlier ones set."""
