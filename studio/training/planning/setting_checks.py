"""What is wrong with settings, and which of them make no difference: all at once, each at its field."""

from collections.abc import Collection, Mapping
from typing import Any

from studio.machine.facts import MachineFacts
from studio.schema.config import VIRTUAL, WHOLE, TrainingConfig
from studio.schema.errors import StudioError, raise_all
from studio.schema.fields import about
from studio.schema.models import ModelInfo
from studio.schema.settings_check import sifted
from studio.tasks import Task
from studio.training.loop.trackers import MIRRORS
from studio.training.methods import METHODS, method_named
from studio.training.optimizers import OPTIMIZERS
from studio.training.planning import parallelism
from studio.training.planning.eval_schedule import total_steps
from studio.training.planning.gradient_checkpointing import recomputes
from studio.training.planning.plan_facts import PlanFacts, as_learned, in_pieces

STEADY = "constant"
"""The course of the rate that has no rise, whatever the warm-up."""
WITHOUT_DROPOUT = frozenset(
    {
        "Llama",
        "Mistral",
        "Mixtral",
        "Qwen2",
        "Qwen2Moe",
        "Qwen3",
        "Qwen3Moe",
        "Gemma",
        "Gemma2",
        "Gemma3",
        "SmolLM3",
        "Olmo",
        "Olmo2",
        "Olmo3",
        "Granite",
        "Cohere",
        "Cohere2",
        "Starcoder2",
        "Glm",
        "Glm4",
        "DeepseekV3",
        "Exaone4",
        "Helium",
        "GptOss",
        "OPT",
        "Bart",
        "MBart",
        "Pegasus",
        "MarianMTModel",
        "Blenderbot",
        "BlenderbotSmall",
    }
)
"""How the architectures begin that have no layers of dropout; some leave out by functions, which we do not set."""


STEPS_FOLLOW = ("epochs", "max_steps", "batch_size", "gradient_accumulation", "processes", "preset", "method")
"""What the number of steps follows from, beside the rows."""


def check_settings(info: ModelInfo, machine: MachineFacts, values: Mapping[str, Any]) -> None:
    """Refuse what is wrong with settings whatever the rows are, all at once; needs no tokens to be counted."""
    config, kept, problems = sifted(values)
    raise_all([*problems, *wrong_settings(info, machine, config, kept)])


def precision_off(machine: MachineFacts) -> dict[str, str]:
    """Number formats that can't be chosen on this machine, each with the reason."""
    return {} if machine.gpus else {"float16": "float16 needs a GPU."}


def wrong_settings(
    info: ModelInfo | None, machine: MachineFacts, config: TrainingConfig, values: Mapping[str, Any]
) -> list[StudioError]:
    """What is at odds with another setting, the machine or the model, where that is known: all of it.

    `values` are those set by hand, of which each can be by itself, and `config` is made of them.
    """
    problems = []
    if info and "max_length" in values and info.context and config.max_length > info.context:
        problems.append(
            StudioError(
                "bad-setting",
                "The longest row is longer than the model can read.",
                given=f"{config.max_length:,} tokens",
                valid=f"up to {info.context:,} tokens",
                field="max_length",
            )
        )
    if info and config.gradient_checkpointing and not recomputes(info):
        problems.append(
            StudioError(
                "bad-setting",
                "Activations can't be computed twice with this model: its own code does not know how.",
                given="gradient_checkpointing",
                hint="Leave it off; fewer rows at once or shorter rows need less memory, too.",
                field="gradient_checkpointing",
            )
        )
    if why := precision_off(machine).get(config.precision, ""):
        problems.append(
            StudioError(
                "bad-setting",
                why,
                given=config.precision,
                valid="bfloat16 or float32",
                field="precision",
            )
        )
    chosen = OPTIMIZERS[config.optimizer]
    if why := chosen.unavailable_reason(machine):
        problems.append(StudioError("bad-setting", why, given=chosen.name, valid=_runnable(machine), field="optimizer"))
    elif not chosen.masters and config.method in WHOLE and values.get("precision") not in (None, "float32"):
        problems.append(
            StudioError(
                "bad-setting",
                f"The optimizer {chosen.name} keeps no exact copies of the weights, so these must be exact themselves.",
                given=config.precision,
                valid="float32, or the optimizer adamw",
                field="precision",
            )
        )
    if config.mirror != "none" and (why := MIRRORS[config.mirror].unavailable_reason()):
        problems.append(StudioError("bad-setting", why, given=config.mirror, valid="none", field="mirror"))
    if config.threads > machine.cores:
        problems.append(
            StudioError(
                "bad-setting",
                "There are fewer cores than that; threads that fight over a core lose most of their speed.",
                given=config.threads,
                valid=f"up to {machine.cores}, or 0 for all that are free",
                field="threads",
            )
        )
    problems += parallelism.problems(config, machine)
    if info:
        problems += [each for each in _method_problems(info, config) if each.field in values]
    return problems


def _runnable(machine: MachineFacts) -> str:
    return ", ".join(name for name, each in OPTIMIZERS.items() if not each.unavailable_reason(machine))


def _method_problems(info: ModelInfo, config: TrainingConfig) -> list[StudioError]:
    """None of a method that does not exist, which is said elsewhere."""
    return METHODS[config.method].problems(info, config) if config.method in METHODS else []


def without_effect(
    task: Task,
    info: ModelInfo,
    machine: MachineFacts,
    config: TrainingConfig,
    facts: PlanFacts,
    by_hand: Mapping[str, Any],
) -> list[str]:
    """A sentence for each setting made by hand that the chosen method, task, model, rows or machine do not look at."""
    found = []
    method, idle = method_named(config.method), _idle(task, info, machine, config, facts)
    for name in by_hand:
        told = about(TrainingConfig, name) if name in TrainingConfig.model_fields else None
        if told and told.methods and method.name not in told.methods:
            found.append(f"{told.label} makes no difference with {method.title}.")
        elif told and told.tasks and task.name not in told.tasks:
            found.append(f"{told.label} makes no difference for this task.")
        elif told and name in idle and getattr(config, name):  # of a setting that is off nothing need be said
            found.append(f"{told.label} {idle[name]}.")
    return found


def _idle(
    task: Task, info: ModelInfo, machine: MachineFacts, config: TrainingConfig, facts: PlanFacts
) -> dict[str, str]:
    """Setting → what is to be said of it where another setting, the model, the rows or the machine make it idle."""
    none, kind = "makes no difference: ", info.kind
    scores = task.has_labels and not facts.labels
    points = "this model points at answers in a text"
    cases = (
        ("warmup_share", config.scheduler == STEADY, f"{none}a constant rate has no rise; constant_with_warmup has"),
        ("dropout", _without_dropout(info), f"{none}this model has no layers for it"),
        ("packing", config.method in VIRTUAL, f"{none}with virtual tokens before it, a row is one text"),
        ("head_first", kind != "encoder" and not task.has_labels, f"{none}a model that writes gets no new layers"),
        ("label_smoothing", scores, f"{none}scores have no labels beside the right one"),
        ("balance_labels", scores, f"{none}scores are no labels of which some could be rare"),
        ("system_prompt", kind == "encoder", f"{none}{points}, and is told nothing before"),
        ("system_prompt", kind == "seq2seq", f"{none}this model reads a text, and no conversation"),
        ("instruction", kind == "encoder", f"{none}{points}, and is told nothing before"),
        ("answer_length", kind == "encoder", f"{none}{points}, and writes none"),
        ("answer_length", kind == "causal", "cuts nothing that is learned: with this model the longest row does"),
        ("stride", kind != "encoder", f"{none}a model that writes reads no pieces, and a long passage is cut"),
        ("offload", config.offload == "cpu" and not machine.gpus, f"{none}without a GPU all is held there anyway"),
    )
    found = {name: words for name, so, words in cases if so}
    if facts.validation_rows:
        return found
    aside = "no rows are set aside"
    return found | {
        "early_stopping_patience": f"{none}{aside} to see a rise",
        "eval_rows": f"{none}{aside} to check",
        "keep_best": f"{none}{aside} to tell which step is the best, and the last is kept",
        "eval_steps": f"checks nothing: {aside}. It only says at which steps the run may be saved",
    }


def _without_dropout(info: ModelInfo) -> bool:
    return info.architecture.partition("For")[0] in WITHOUT_DROPOUT


def knows_rows(task: Task, info: ModelInfo | None, facts: PlanFacts) -> bool:
    """Whether it is known how many rows are learned from: where texts share a row or are learned in pieces, which a
    model that reads may do, it depends on their tokens."""
    return bool(facts.token_lengths) or not in_pieces(task, info.kind if info else "encoder")


def against_rows(
    config: TrainingConfig, facts: PlanFacts, by_hand: Mapping[str, Any], unsure: Collection[str] = ()
) -> list[StudioError]:
    """Settings made by hand that such few rows can't fulfil.

    `unsure` are settings whose value is none that the run will have, since the one that was given can't be: nothing
    is said of what follows from them.
    """
    facts = as_learned(facts, config)
    found, rows = [], facts.train_rows
    if "batch_size" in by_hand and config.batch_size > rows:
        found.append(
            StudioError(
                "bad-setting",
                "There are fewer rows to learn from than are read at once.",
                given=f"{config.batch_size:,} rows at once, of {rows:,}",
                valid=f"up to {rows:,}",
                field="batch_size",
            )
        )
    if config.processes > 1 and config.together > rows and "batch_size" not in unsure:
        each = "row" if config.batch_size == 1 else "rows"
        found.append(
            StudioError(
                "bad-setting",
                "There are fewer rows to learn from than the processes read at once.",
                given=f"{config.processes} processes with {config.batch_size:,} {each} each, of {rows:,}",
                valid=f"up to {rows:,} in all",
                field="processes",
            )
        )
    steps = total_steps(rows, config)
    if config.eval_steps > steps and facts.validation_rows and not set(STEPS_FOLLOW) & set(unsure):
        found.append(
            StudioError(
                "bad-setting",
                "The check would never happen: the run is over before.",
                given=f"every {config.eval_steps:,} steps, in a run of {steps:,}",
                valid=f"up to {steps:,}, or 0 to have it worked out",
                field="eval_steps",
            )
        )
    return found
