"""Validation of settings: all problems at once, each with its field, and settings that have no effect."""

from collections.abc import Collection, Mapping
from typing import Any

from studio.machine.facts import MachineFacts
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError, bad_setting, raise_all
from studio.schema.fields import about
from studio.schema.models import ModelInfo
from studio.schema.numbers import rows as row_words
from studio.schema.settings_check import sifted
from studio.tasks import Task
from studio.training.loop.trackers import TRACKERS
from studio.training.methods import METHODS, learns_virtual_tokens, method_named, trains_base_weights
from studio.training.optimizers import OPTIMIZERS
from studio.training.planning import parallelism
from studio.training.planning.eval_schedule import total_steps
from studio.training.planning.gradient_checkpointing import supports_checkpointing
from studio.training.planning.plan_builder import PlanRequest
from studio.training.planning.plan_facts import PlanFacts, as_trained, splits_long_rows
from studio.training.planning.setting_scope import applies

CONSTANT_SCHEDULE = "constant"
"""The scheduler that ignores the warmup."""
WITHOUT_DROPOUT = frozenset(
    "Llama Mistral Mixtral Qwen2 Qwen2Moe Qwen3 Qwen3Moe Gemma Gemma2 Gemma3 SmolLM3 Olmo Olmo2 Olmo3 Granite "
    "Cohere Cohere2 Starcoder2 Glm Glm4 DeepseekV3 Exaone4 Helium GptOss OPT Bart MBart Pegasus MarianMTModel "
    "Blenderbot BlenderbotSmall".split()
)
"""Prefixes of architectures without dropout layers. Some use dropout functions, which we do not configure."""
NO_INSTRUCTION = "{setting} has no effect: this model extracts answers and gets no instruction."
WITHOUT_VALIDATION = {
    "early_stopping_patience": "{setting} has no effect: there are no validation rows.",
    "eval_rows": "{setting} has no effect: there are no validation rows.",
    "keep_best": "{setting} has no effect: there are no validation rows, so the last checkpoint is kept.",
    "eval_steps": "{setting} causes no validation: there are no validation rows. It only sets when checkpoints may be "
    "saved.",
}
"""Setting → why it has no effect when no validation rows are left."""
STEP_COUNT_SETTINGS = ("epochs", "max_steps", "batch_size", "gradient_accumulation", "processes", "preset", "method")
"""Settings that determine the number of steps, besides the rows."""


def check_settings(info: ModelInfo, machine: MachineFacts, values: Mapping[str, Any]) -> None:
    """Raise all problems of the settings that do not depend on the rows. Needs no token counts."""
    config, kept, problems = sifted(values)
    raise_all([*problems, *setting_problems(info, machine, config, kept)])


def unavailable_precisions(machine: MachineFacts) -> dict[str, str]:
    """Precision → why it is not available on this machine."""
    return {} if machine.gpus else {"float16": "float16 needs a GPU."}


def setting_problems(
    info: ModelInfo | None, machine: MachineFacts, config: TrainingConfig, values: Mapping[str, Any]
) -> list[StudioError]:
    """All conflicts of the settings with each other, the machine or the model, where these are known.

    `values` are the settings of the user, each valid by itself. `config` contains them.
    """
    problems = []
    if info and "max_length" in values and info.context and config.max_length > info.context:
        what, given = "The maximum length exceeds the model's context length.", f"{config.max_length:,} tokens"
        problems.append(bad_setting("max_length", what, given, f"up to {info.context:,} tokens"))
    if info and config.gradient_checkpointing and not supports_checkpointing(info):
        what = "This model's code does not support gradient checkpointing."
        hint = "Turn it off. A smaller batch size or maximum length also saves memory."
        problems.append(bad_setting("gradient_checkpointing", what, "gradient_checkpointing", hint=hint))
    if why := unavailable_precisions(machine).get(config.precision, ""):
        problems.append(bad_setting("precision", why, config.precision, "bfloat16 or float32"))
    chosen = OPTIMIZERS[config.optimizer]
    if why := chosen.unavailable_reason(machine):
        runnable = [name for name, each in OPTIMIZERS.items() if not each.unavailable_reason(machine)]
        problems.append(bad_setting("optimizer", why, chosen.name, ", ".join(runnable)))
    elif not chosen.masters and trains_base_weights(config.method) and values.get("precision") not in (None, "float32"):
        what = f"The optimizer {chosen.name} keeps no float32 copies of the weights, so the precision must be float32."
        problems.append(bad_setting("precision", what, config.precision, "float32, or the optimizer adamw"))
    elif config.precision == "float16" and trains_base_weights(config.method) and not config.zero and machine.gpus:
        what = "Weights in float16 can't be trained themselves, only an adapter beside them."
        problems.append(bad_setting("precision", what, config.precision, "bfloat16 or float32"))
    if config.mirror != "none" and (why := TRACKERS[config.mirror].unavailable_reason()):
        problems.append(bad_setting("mirror", why, config.mirror, "none"))
    if config.threads > machine.cores:
        what = "This machine has fewer cores. Threads that share a core are much slower."
        problems.append(bad_setting("threads", what, config.threads, f"up to {machine.cores}, or 0 for all free cores"))
    problems += parallelism.problems(config, machine)
    if info and config.method in METHODS:  # an unknown method is reported elsewhere
        problems += [each for each in METHODS[config.method].problems(info, config) if each.field in values]
    return problems


def settings_without_effect(request: PlanRequest, config: TrainingConfig, by_hand: Mapping[str, Any]) -> list[str]:
    """A sentence for each setting of the user that the chosen method, task, model, rows or machine ignore."""
    sentences = []
    method, idle = method_named(config.method), _idle_sentences(request, config)
    for name in by_hand:
        field_info = about(TrainingConfig, name) if name in TrainingConfig.model_fields else None
        if field_info is None:
            continue
        setting = field_info.label
        if not applies(name, method.name):
            sentences.append(f"{setting} has no effect with {method.title}.")
        elif not applies(name, method.name, request.task.name):
            sentences.append(f"{setting} has no effect for this task.")
        elif name in idle and getattr(config, name):  # a setting that is off needs no sentence
            sentences.append(idle[name].format(setting=setting))
    return sentences


def _idle_sentences(request: PlanRequest, config: TrainingConfig) -> dict[str, str]:
    """Setting → a sentence about it, {setting}: why another setting, the model, the rows or the machine make it
    ineffective."""
    kind, task = request.info.kind, request.task
    scores = task.has_labels and not request.facts.labels
    cases = (
        (
            "warmup_share",
            config.scheduler == CONSTANT_SCHEDULE,
            "{setting} has no effect: the schedule is constant. Use constant_with_warmup for a warm-up.",
        ),
        (
            "dropout",
            request.info.architecture.partition("For")[0] in WITHOUT_DROPOUT,
            "{setting} has no effect: this model has no dropout layers.",
        ),
        (
            "packing",
            learns_virtual_tokens(config.method),
            "{setting} has no effect: virtual tokens come before each text, so texts can't share a row.",
        ),
        (
            "head_first",
            kind != "encoder" and not task.has_labels,
            "{setting} has no effect: the model gets no new head for this task.",
        ),
        ("label_smoothing", scores, "{setting} has no effect: scores have no other labels."),
        ("balance_labels", scores, "{setting} has no effect: scores have no rare labels."),
        ("system_prompt", kind == "encoder", NO_INSTRUCTION),
        (
            "system_prompt",
            kind == "seq2seq",
            "{setting} has no effect: this model reads a text and not a conversation.",
        ),
        ("instruction", kind == "encoder", NO_INSTRUCTION),
        (
            "answer_length",
            kind == "encoder",
            "{setting} has no effect: this model extracts answers and does not write them.",
        ),
        (
            "answer_length",
            kind == "causal",
            "{setting} truncates nothing during training: with this model, the maximum length does.",
        ),
        (
            "stride",
            kind != "encoder",
            "{setting} has no effect: with this model, long passages are truncated and not split.",
        ),
        (
            "offload",
            config.offload == "cpu" and not request.machine.gpus,
            "{setting} has no effect: without a GPU, all data is in the machine's memory anyway.",
        ),
    )
    sentences = {name: sentence for name, applies, sentence in cases if applies}
    return sentences if request.facts.validation_rows else sentences | WITHOUT_VALIDATION


def row_count_known(task: Task, info: ModelInfo | None, facts: PlanFacts) -> bool:
    """Whether the number of training examples is known. If texts are packed or split into pieces, it depends on
    their tokens."""
    return bool(facts.token_lengths) or not splits_long_rows(task, info.kind if info else "encoder")


def row_problems(
    config: TrainingConfig, facts: PlanFacts, by_hand: Mapping[str, Any], unknown: Collection[str] = ()
) -> list[StudioError]:
    """Problems of the user's settings with this number of rows.

    `unknown` are settings whose value is not the one that the run will have, because the given one is invalid. Nothing
    that depends on them is reported.
    """
    facts = as_trained(facts, config)
    problems, rows = [], facts.train_rows
    if "batch_size" in by_hand and config.batch_size > rows:
        what = "The batch size is larger than the number of training rows."
        given = f"batch size {config.batch_size:,}, {rows:,} training rows"
        problems.append(bad_setting("batch_size", what, given, f"up to {rows:,}"))
    if config.processes > 1 and config.together > rows and "batch_size" not in unknown:
        what = "The batches of all processes together are larger than the number of training rows."
        each = row_words(config.batch_size)
        given = f"{config.processes} processes with {each} each, {rows:,} training rows"
        problems.append(bad_setting("processes", what, given, f"up to {rows:,} in all"))
    steps = total_steps(rows, config)
    if config.eval_steps > steps and facts.validation_rows and not set(STEP_COUNT_SETTINGS) & set(unknown):
        what = "There would be no validation: the run ends before the first one."
        given = f"every {config.eval_steps:,} steps, in a run of {steps:,}"
        problems.append(bad_setting("eval_steps", what, given, f"up to {steps:,}, or 0 for automatic"))
    return problems
