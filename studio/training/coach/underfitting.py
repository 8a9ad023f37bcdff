"""Underfitting: both losses are flat and high."""

from math import log

from studio.schema.events import Action, AdviceEvent
from studio.training.coach.base import (
    Rule,
    RunHistory,
    format_number,
    rerun_at_rate,
    retraction,
    twice_as_long,
    typical_loss,
)
from studio.training.methods import has_rank

HIGH = 2.5
"""Loss per generated token above which a fine-tuned model is still guessing: one word in twelve is right."""
HIGH_FOR_LABELS = 0.75
"""Multiple of the loss of guessing, for classification."""
FLAT = 0.02
"""A smaller relative change between the third and the last quarter counts as none."""
LEARNED = 0.02
"""The relative change that shows that something was learned. Otherwise the learning rate is too low, which another
rule detects."""


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice from three quarters of the run on, for losses with a known threshold."""
    if history.share() < 0.75 or len(history.points) < 20 or len(history.tuned) < 3:
        return None
    quarter = len(history.points) // 4
    third, last = (
        typical_loss([point.loss for point in part])
        for part in (history.points[-2 * quarter : -quarter], history.points[-quarter:])
    )
    first = typical_loss([point.loss for point in history.points[: max(3, quarter // 4)]])
    validation_loss, earlier = history.tuned[-1].eval_loss, history.tuned[-3].eval_loss
    threshold = _threshold(history)
    if threshold is None or min(last, validation_loss) < threshold or last > first * (1 - LEARNED):
        return None
    if third - last > FLAT * third or earlier - validation_loss > FLAT * earlier:
        return None
    return AdviceEvent(
        rule="underfitting",
        severity="warn",
        step=history.step,
        title="Underfitting",
        message=f"Training loss has stayed at {format_number(last)} (a quarter ago {format_number(third)}) and "
        f"validation loss at {format_number(validation_loss)}. Above {format_number(threshold)} a model mostly "
        "guesses.",
        why="More training alone changes little: too little is trainable, or it changes too slowly, for these rows.",
        action="Run again with more trainable parameters or a higher learning rate.",
        actions=_actions(history),
    )


def _threshold(history: RunHistory) -> float | None:
    if history.loss_of == "tokens":
        return HIGH
    labels = history.read.labels if history.read else 0
    return HIGH_FOR_LABELS * log(labels) if history.loss_of == "labels" and labels > 1 else None


def _actions(history: RunHistory) -> tuple[Action, ...]:
    config = history.config
    faster = rerun_at_rate(history, 2.0)
    if has_rank(config.method) and config.lora_rank < 64:
        rank = config.lora_rank * 4
        changes: dict[str, bool | int | float | str] = {"lora_rank": rank, "lora_alpha": config.lora_alpha * 4}
        return Action(kind="repeat", label=f"Run again with rank {rank}", changes=changes), faster
    return faster, twice_as_long(history)


def update(history: RunHistory, advice: AdviceEvent) -> AdviceEvent | None:
    """Retract the advice when validation loss has fallen below the threshold. Repeat it at the end."""
    if not history.tuned:
        return None
    threshold, loss = _threshold(history), history.tuned[-1].eval_loss
    if threshold is not None and loss < threshold:
        message = f"Validation loss is {format_number(loss)}, below {format_number(threshold)}."
        return retraction(advice, history.step, "The model has learned more", message)
    return advise(history) if history.ended and history.step > advice.step else None


RULE = Rule("underfitting", advise, update, unless=("rate-too-low", "rate-too-high"))
