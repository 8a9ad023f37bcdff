"""Settings of a rerun: those of the earlier run, with changes. And the sentence about it."""

from collections.abc import Mapping
from typing import Any

from studio.schema.config import TrainingConfig, settings_of
from studio.schema.errors import StudioError, raise_all
from studio.schema.fields import about
from studio.schema.numbers import plain_value, plural
from studio.schema.runs import RunRecord
from studio.training.planning.setting_scope import applicable_settings

OF_LENGTH = ("epochs", "max_steps", "batch_size", "gradient_accumulation", "validation_share", "test_share", "replay")
"""Settings that change the length of a run."""
FIXED = {
    "task": "Run again can't change the task.",
    "model": "Run again can't change the base model.",
    "preset": "Run again can't change the preset.",
}
"""Settings that a rerun keeps, and the error for a change."""


def changed_settings(before: TrainingConfig, changes: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Method and settings of a rerun.

    Raises:
        StudioError: for changes that would make it a different run.
    """
    given = {key.replace("-", "_"): value for key, value in changes.items()}
    for name, what in FIXED.items():
        if given.get(name, getattr(before, name)) != getattr(before, name):
            raise StudioError(
                "bad-setting",
                what,
                given=given[name],
                valid=getattr(before, name),
                hint="Start a new run instead.",
                field=name,
            )
    method = str(given.pop("method", before.method))
    raise_all(
        [
            StudioError("unknown-setting", f"{name} is not a setting.", valid=settings_of(), field=name)
            for name in given
            if name in TrainingConfig.model_fields and name not in (*settings_of(), *FIXED, "name")
        ]
    )
    kept = {name: getattr(before, name) for name in applicable_settings(method, before.task)}
    if any(name in given for name in OF_LENGTH):  # validations follow the length, unless they are set too
        kept.pop("eval_steps")
    own = {key: value for key, value in given.items() if key not in (*FIXED, "name")}
    return method, {**kept, "test_prompts": before.test_prompts, **own}


def rerun_reason(name: str, before: TrainingConfig, after: TrainingConfig) -> str:
    """What a rerun is based on, and what was changed."""
    changed = [each for each in ("method", *settings_of()) if getattr(before, each) != getattr(after, each)]
    if not changed:
        return f"Run again with the settings of {name}, unchanged."
    changes = ", ".join(_change(each, before, after) for each in changed)
    return f"Run again with the settings of {name}, but {changes}."


def extension_reason(record: RunRecord, after: TrainingConfig) -> str:
    """What an extension continues from, and its schedule."""
    epochs, rate = plural(after.epochs, "{n} more epoch", "{n} more epochs"), after.learning_rate
    source = f"Continues from the result of {record.name} for {epochs} on the same rows."
    if record.best_step is not None:
        step = record.best_step
        source = f"Continues from the result of {record.name} (step {step:,}) for {epochs} on the same rows."
    schedule = f"It has its own schedule: the learning rate starts again at {rate:g}, with a new optimizer."
    return f"{source} {schedule}"


def _change(setting: str, before: TrainingConfig, after: TrainingConfig) -> str:
    value, earlier = (plain_value(getattr(config, setting)) or "none" for config in (after, before))
    changed = f"{_label(setting)} {value}"
    return f"{changed} instead of {earlier}"


def _label(name: str) -> str:
    info = about(TrainingConfig, name) if name != "method" else None
    return info.phrase if info else name
