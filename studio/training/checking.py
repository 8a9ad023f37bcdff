"""What is wrong with settings, and which of them make no difference: all at once, each at its field."""

from collections.abc import Mapping
from typing import Any

from studio.machine.facts import MachineFacts
from studio.schema.checked import config_from
from studio.schema.config import WHOLE, TrainingConfig
from studio.schema.errors import StudioError, raise_all
from studio.schema.fields import about
from studio.schema.models import ModelInfo
from studio.tasks import Task
from studio.training import together
from studio.training.methods import METHODS, method_named
from studio.training.mirrors import MIRRORS
from studio.training.optimizers import OPTIMIZERS
from studio.training.plan_facts import PlanFacts, as_learned
from studio.training.rhythm import total_steps

STEADY = "constant"
"""The course of the rate that has no rise, whatever the warm-up."""


def check_settings(info: ModelInfo, machine: MachineFacts, values: Mapping[str, Any]) -> None:
    """What is wrong with settings whatever the rows are, all at once; needs no tokens to be counted."""
    config, problems = _as_far_as_it_goes(values)
    if "max_length" in values and info.context and config.max_length > info.context:
        problems.append(
            StudioError(
                "bad-setting",
                "The longest row is longer than the model can read.",
                given=f"{config.max_length:,} tokens",
                valid=f"up to {info.context:,} tokens",
                field="max_length",
            )
        )
    if config.precision == "float16" and not machine.gpus:
        problems.append(
            StudioError(
                "bad-setting",
                "float16 needs a GPU.",
                given="float16",
                valid="bfloat16 or float32",
                field="precision",
            )
        )
    chosen = OPTIMIZERS[config.optimizer]
    if why := chosen.why_not(machine):
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
    if config.mirror != "none" and (why := MIRRORS[config.mirror].why_not()):
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
    problems += together.problems(config, machine)
    problems += [each for each in _method_problems(info, config) if each.field in values]
    raise_all(problems)


def _as_far_as_it_goes(values: Mapping[str, Any]) -> tuple[TrainingConfig, list[StudioError]]:
    """The settings without those that can't be, so that all else that is wrong can be told too."""
    try:
        return config_from(dict(values)), []
    except StudioError as error:
        problems = list(error.all())
    wrong = {problem.field for problem in problems}
    try:
        return config_from({key: value for key, value in values.items() if key not in wrong}), problems
    except StudioError:
        raise_all(problems)
        raise


def _runnable(machine: MachineFacts) -> str:
    return ", ".join(name for name, each in OPTIMIZERS.items() if not each.why_not(machine))


def _method_problems(info: ModelInfo, config: TrainingConfig) -> list[StudioError]:
    """None of a method that does not exist, which is said elsewhere."""
    return METHODS[config.method].problems(info, config) if config.method in METHODS else []


def without_effect(task: Task, config: TrainingConfig, facts: PlanFacts, by_hand: Mapping[str, Any]) -> list[str]:
    """A sentence for each setting made by hand that the chosen method, task or rows do not look at."""
    found = []
    method = method_named(config.method)
    for name in by_hand:
        told = about(TrainingConfig, name) if name in TrainingConfig.model_fields else None
        if told and told.methods and method.name not in told.methods:
            found.append(f"{told.label} makes no difference with {method.title}.")
        elif told and told.tasks and task.name not in told.tasks:
            found.append(f"{told.label} makes no difference for this task.")
    if by_hand.get("warmup_share") and config.scheduler == STEADY:
        found.append("Warm-up makes no difference: a constant rate has no rise; constant_with_warmup has.")
    if by_hand.get("early_stopping_patience") and not facts.validation_rows:
        found.append("Stop after rises makes no difference: no rows are set aside to see a rise.")
    return found


def against_rows(config: TrainingConfig, facts: PlanFacts, by_hand: Mapping[str, Any]) -> list[StudioError]:
    """Settings made by hand that such few rows can't fulfil."""
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
    if config.processes > 1 and config.together > rows:
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
    if config.eval_steps > steps and facts.validation_rows:
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
