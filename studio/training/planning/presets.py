"""Presets: the settings of a run computed from rows, model, method and machine, each with its reason."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from studio.machine.facts import MachineFacts
from studio.schema.config import DEFAULT_METHOD, MAX_SYSTEM_PROMPT, Plan, TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.limits import OWNER, Limits
from studio.schema.models import ModelInfo
from studio.schema.numbers import plural
from studio.schema.settings_check import gathered, raise_once, sifted
from studio.tasks import Task
from studio.training.methods import METHODS, method_named
from studio.training.optimizers import OPTIMIZERS
from studio.training.planning.estimate import estimate
from studio.training.planning.eval_schedule import USUAL_VALIDATIONS, eval_interval, total_steps
from studio.training.planning.memory_budget import memory_budget
from studio.training.planning.plan_builder import PRESETS, PlanDraft, PlanRequest, Preset, preset_named
from studio.training.planning.plan_facts import PlanFacts, memory_of, splits_long_rows
from studio.training.planning.plan_limits import over_limits, too_many_steps, within_limits
from studio.training.planning.setting_checks import (
    CONSTANT_SCHEDULE,
    STEP_COUNT_SETTINGS,
    row_count_known,
    row_problems,
    setting_problems,
    settings_without_effect,
)

__all__ = [
    "PRESETS",
    "KnownParts",
    "PlanFacts",
    "PlanRequest",
    "Preset",
    "default_method",
    "estimate",
    "make_plan",
    "plan_problems",
    "preset_named",
]

LITTLE_DATA = 150
"""Number of training rows up to which settings against overfitting are suggested for full training."""
EPOCHS: dict[str, tuple[tuple[int, int], ...]] = {
    "text": ((60, 10), (150, 6), (300, 4), (2_000, 3), (10_000, 2)),
    "labels": ((60, 15), (150, 10), (600, 6), (5_000, 4), (20_000, 2)),
}
"""(up to this many training rows, epochs). Above the last one, one epoch."""
VIEWS_PER_LABEL, MAX_EPOCHS_FOR_LABELS = 240, 20
"""How often a model should see rows of each label when they are few, and the maximum number of epochs for it."""


def default_method(info: ModelInfo) -> str:
    """The first method that is usual for this model, else `DEFAULT_METHOD`."""
    return next((method.name for method in METHODS.values() if method.is_usual_for(info)), DEFAULT_METHOD)


def make_plan(request: PlanRequest, method: str, overrides: Mapping[str, Any]) -> Plan:
    """A config with all values, or an error with all problems at once.

    `overrides` are settings of the user by field name. They can't change task, model, method, preset or name.
    """
    info, machine = request.info, request.machine
    head = {"task": request.task.name, "model": info.name, "preset": request.preset, "name": request.name}
    by_hand = {key.replace("-", "_"): value for key, value in overrides.items()}
    _, values, problems = _valid_values(info, machine, {**by_hand, **head, "method": method})
    draft = _draft_plan(request, values)
    config = draft.config()
    raise_once([*problems, *over_limits(values, request.limits), *_row_and_step_problems(draft, values, problems)])
    draft.because += settings_without_effect(request, config, by_hand)
    changed = tuple(key for key in by_hand if key in TrainingConfig.model_fields)
    return Plan(config=config, because=tuple(draft.because), changed=changed)


@dataclass(frozen=True)
class KnownParts:
    """What is known so far of the run to plan, and the machine. None: unknown."""

    task: Task | None
    info: ModelInfo | None
    facts: PlanFacts | None
    machine: MachineFacts
    limits: Limits = OWNER


def plan_problems(known: KnownParts, values: Mapping[str, Any]) -> list[StudioError]:
    """The problems for which `make_plan` would refuse, as far as they can be known.

    `values` are all requested settings, including method and preset. Problems that depend on something unknown are not
    reported:

    - without usable, split rows: whether there are enough of them for a batch and a validation;
    - without their tokens, where texts are packed or split into pieces: the same;
    - without a model that can do the task: problems of model and method, and the number of steps;
    - with invalid epochs, batch size, preset or method (`STEP_COUNT_SETTINGS`): whether a validation precedes the last
      step.
    """
    task, info, facts = known.task, known.info, known.facts
    config, kept, problems = _valid_values(info, known.machine, values)
    problems += over_limits(kept, known.limits)
    if task is None or facts is None or not row_count_known(task, info, facts):
        return problems
    if info is None or task.unavailable_reason(info):
        return [*problems, *row_problems(config, facts, kept, STEP_COUNT_SETTINGS)]
    request = PlanRequest(task, info, kept.get("preset", ""), facts, known.machine, limits=known.limits)
    return [*problems, *_row_and_step_problems(_draft_plan(request, kept), kept, problems)]


def _valid_values(
    info: ModelInfo | None, machine: MachineFacts, requested: Mapping[str, Any]
) -> tuple[TrainingConfig, dict[str, Any], list[StudioError]]:
    """The requested values that are valid by themselves, a config of them, and all problems that do not depend on
    rows."""
    config, values, problems = sifted(requested)
    problems += setting_problems(info, machine, config, values)
    with gathered(problems):
        preset_named(config.preset)
    with gathered(problems):
        method_named(config.method)
    return config, values, problems


def _draft_plan(request: PlanRequest, values: Mapping[str, Any]) -> PlanDraft:
    """A plan with all values. Invalid presets and methods are replaced by the default."""
    method = values["method"] if values.get("method") in METHODS else default_method(request.info)
    draft = PlanDraft(request, {**values, "method": method})
    for part in RULES:
        part(draft)
    return draft


def _row_and_step_problems(
    draft: PlanDraft, by_hand: Mapping[str, Any], problems: list[StudioError]
) -> list[StudioError]:
    """Problems with the rows, or with values computed from them."""
    config = draft.config()
    problems_found = row_problems(config, draft.facts, by_hand, {each.field for each in problems})
    problems_found += too_many_steps(draft)
    method_replaced = by_hand.get("method") != draft.method.name
    return problems_found if method_replaced else [*problems_found, *draft.method.problems(draft.info, config)]


def _set_batch_size(draft: PlanDraft) -> None:
    """The batch size: small on a CPU, which computes row after row, larger on a GPU and for classification."""
    size = 16 if draft.task.has_labels else 8 if draft.machine.gpus else 4
    size = min(size, max(1, draft.learned.train_rows // 4))
    draft.put("batch_size", math.ceil(size / draft.config().processes))
    draft.put("gradient_accumulation", 1)


def _set_epochs(draft: PlanDraft) -> None:
    rows = draft.facts.train_rows
    table = EPOCHS["labels" if draft.task.has_labels else "text"]
    usual = next((epochs for most, epochs in table if rows <= most), 1)
    each = rows / max(1, draft.facts.labels)
    for_labels = min(MAX_EPOCHS_FOR_LABELS, math.ceil(VIEWS_PER_LABEL / max(each, 1))) if draft.task.has_labels else 0
    slow = draft.method.epoch_factor
    epochs = max(1, round(max(usual, for_labels) * draft.preset.epoch_factor * slow))
    amount = plural(epochs, "{n} epoch", "{n} epochs")
    sentences = [f"{amount}, because there are {rows:,} training rows."]
    if for_labels > usual:
        sentences = [f"{amount}, because there are {rows:,} training rows, about {each:,.0f} per label."]
    if slow != 1:
        sentences.append(f"{draft.method.title} learns slowly and needs {slow:g} times the epochs of LoRA.")
    draft.put("epochs", epochs, " ".join(sentences))


def _set_learning_rate(draft: PlanDraft) -> None:
    """The method's usual rate, higher for adapters, small models and few rows, with the factor of the task."""
    rate, reason = draft.method.learning_rate(draft.info, draft.task.has_labels, draft.facts.train_rows)
    if draft.task.rate_factor != 1:
        rate, reason = rate * draft.task.rate_factor, draft.task.rate_reason
    draft.put("learning_rate", rate, f"Learning rate {rate:g}: {reason}.")
    draft.put("scheduler", "linear" if draft.task.has_labels else "cosine")
    share = 0.1 if draft.task.has_labels else 0.05
    if draft.values["scheduler"] == CONSTANT_SCHEDULE:
        draft.put("warmup_share", 0.0)
    else:
        reason = (
            f"The learning rate rises during the first {share:.0%} of the steps (warm-up), which keeps training stable."
        )
        draft.put("warmup_share", share, reason)
    draft.put("weight_decay", 0.01 if draft.method.trains_base_weights else 0.0)
    if draft.facts.labels:  # scores have none
        draft.put("label_smoothing", 0.1, "Label smoothing 0.1, because some labels are usually wrong.")


def _set_max_length(draft: PlanDraft) -> None:
    """The maximum length: enough for all rows, or for nearly all if a few would cost much."""
    facts, context = draft.facts, (draft.info.context or 2048) - draft.virtual_tokens
    most = min(context, 2048 if draft.machine.gpus else 1024)
    needed_length = facts.longest if facts.longest <= most else facts.percentile(0.99)
    length = min(max(64, math.ceil(needed_length / 32) * 32), most)
    length = max(16, min(length, context))
    reason = f"Maximum length {length:,} tokens: the longest row has {facts.longest:,}, so no row is truncated."
    if facts.longest > length and splits_long_rows(draft.task, draft.info.kind):
        reason = f"Maximum length {length:,} tokens: longer texts are split into pieces, and none is truncated."
    elif facts.longest > length:
        cut = sum(tokens > length for tokens in facts.token_lengths)
        share = f"{max(cut / max(1, len(facts.token_lengths)), 0.001):.1%}"
        reason = f"Maximum length {length:,} tokens: {share} of the rows are longer and will be truncated."
    draft.put("max_length", length, reason)


def _set_precision(draft: PlanDraft) -> None:
    machine = draft.machine
    chosen = OPTIMIZERS[draft.config().optimizer]
    if draft.info.kind == "encoder":
        draft.put("precision", "float32", "Precision float32: it is the most exact, and the model is small.")
    elif draft.method.trains_base_weights and not chosen.masters:
        draft.put("precision", "float32", f"Precision float32: {chosen.name} keeps no float32 copies of the weights.")
    elif machine.gpus or machine.bfloat16_fast:
        reason = "Precision bfloat16, which this CPU computes fast."
        if machine.gpus:
            reason = "Precision bfloat16, which the GPU computes fast."
        draft.put("precision", "bfloat16", reason)
    else:
        draft.put("precision", "float32", "Precision float32: this CPU is slow with shorter formats.")


def _fit_memory(draft: PlanDraft) -> None:
    """Reduce the batch size, then enable gradient checkpointing, until the run fits into memory."""
    budget, halved = memory_budget(draft.machine), 0
    while memory_of(draft.config(), draft.info, draft.facts, draft.machine) > budget:
        size = draft.values["batch_size"]
        if size > 1 and not {"batch_size", "gradient_accumulation"} & draft.fixed:
            draft.put("batch_size", size // 2)
            draft.put("gradient_accumulation", 2 * draft.values.get("gradient_accumulation", 1))
            halved += 1
        elif draft.can_checkpoint:
            draft.put(
                "gradient_checkpointing",
                True,
                "Gradient checkpointing, because the run would not fit into memory otherwise.",
            )
        else:
            break
    _explain_batch_size(draft, halved > 0)


def _explain_batch_size(draft: PlanDraft, halved: bool) -> None:
    size, processes = draft.values["batch_size"], draft.config().processes
    batch = f"Batch size {size}" if processes == 1 else f"Batch size {size} in each of {processes} processes"
    if halved:
        accumulation = draft.values["gradient_accumulation"]
        draft.because.append(f"{batch}, with gradient accumulation {accumulation}: more would not fit into memory.")
    elif "batch_size" not in draft.fixed:
        why = "a GPU computes many rows together" if draft.machine.gpus else "a larger one is no faster on a CPU"
        if size == max(1, draft.learned.train_rows // 4):
            why = "there are few rows"
        elif draft.task.has_labels:
            why = "classification works well with larger batches"
        reason = f"Batch size {size}: {why}."
        if processes > 1:
            reason = f"Batch size {size} in each of {processes} processes: {why}."
        draft.because.append(reason)


def _set_validation(draft: PlanDraft) -> None:
    facts = draft.learned
    if not facts.validation_rows:
        draft.put(
            "keep_best",
            False,
            "The last checkpoint is the result: there are no validation rows to select the best one.",
        )
        draft.put("early_stopping_patience", 0)
        return
    draft.put("early_stopping_patience", draft.preset.patience)
    rows = 512 if draft.task.has_labels else 32
    checked = min(draft.facts.validation_rows, rows)
    reason = f"Validation uses {checked:,} rows that are not trained on."
    if draft.config().keep_best:
        reason = f"Validation uses {checked:,} rows that are not trained on, and the best checkpoint is kept."
    draft.put("eval_rows", rows, reason)
    config = draft.config()
    every, steps = eval_interval(facts.train_rows, facts.validation_rows, config), total_steps(facts.train_rows, config)
    validations = math.ceil(steps / every)
    why = f"{validations} validations in the run show which checkpoint is the best"
    if every > math.ceil(steps / USUAL_VALIDATIONS):
        why = "more often would take too much of the run's time"
    elif steps == 1:
        why = "the run has only one step"
    reason = plural(every, "Validation every step: {why}.", "Validation every {n} steps: {why}.", why=why)
    draft.put("eval_steps", every, reason)


def _suggest_for_little_data(draft: PlanDraft) -> None:
    """Suggest settings without changing them, since it depends on the rows which of them helps."""
    rows = draft.facts.train_rows
    remedies = {"head_first", "layer_decay", "dropout"}
    usable = draft.info.kind == "encoder" and remedies <= set(draft.method.settings)
    if not usable or rows > LITTLE_DATA or remedies & draft.fixed:
        return
    advice = (
        f"Little data: with {rows:,} rows it may help to set the layer-wise learning-rate decay to 0.9 or to raise the "
        "model dropout to 0.2. None of these is set. Try one, and compare."
    )
    if "head_first" in draft.task.settings:
        advice = (
            f"Little data: with {rows:,} rows it may help to set head-only training to 0.2, to set the layer-wise "
            "learning-rate decay to 0.9 or to raise the model dropout to 0.2. None of these is set. Try one, and "
            "compare."
        )
    draft.because.append(advice)


def _set_system_prompt(draft: PlanDraft) -> None:
    """That of the rows, where they have the same: the chat must show the model what it was trained on."""
    shared = draft.facts.system_prompt
    replays = draft.values.get("replay")  # replay rows without a system prompt would get this one
    if shared and len(shared) <= MAX_SYSTEM_PROMPT and draft.info.kind == "causal" and not replays:
        reason = "All rows have the same system prompt. Chat, test prompts and exports use it, too."
        draft.put("system_prompt", shared, reason)


RULES: tuple[Callable[[PlanDraft], None], ...] = (
    _set_system_prompt,
    _set_epochs,
    _set_learning_rate,
    lambda draft: draft.method.choose_size(draft),
    _set_max_length,
    _set_batch_size,
    _set_precision,
    _fit_memory,
    within_limits,
    _set_validation,
    _suggest_for_little_data,
)
"""In this order, since later rules depend on the values of earlier ones."""
