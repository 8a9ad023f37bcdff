"""Overfitting: validation loss rises while training loss falls."""

from studio.schema.events import Action, AdviceEvent, EvaluationEvent
from studio.training.coach.base import (
    STOP,
    Point,
    Rule,
    RunHistory,
    format_number,
    noise,
    one_decimal,
    percent,
    typical_loss,
)

RISE = 0.03
"""Relative rise of validation loss above its minimum that counts."""
SCATTER = 2.5
"""The rise must also exceed this multiple of the noise of later validations."""
FALL = 0.03
"""Relative fall of training loss that counts."""
CHECKS = 2
"""Number of consecutive validations that must show it."""


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice when the last validations are above the minimum, no metric improved, and training loss kept falling."""
    turning_point = _turning_point(history)
    if turning_point is None:
        return None
    lowest, last, loss_before, loss_now = turning_point
    rise = last.eval_loss / lowest.eval_loss - 1
    stops = history.config.early_stopping_patience and not history.ended
    return AdviceEvent(
        rule="overfitting",
        severity="warn",
        step=last.step,
        title="Learning by heart",
        message=f"Validation loss has risen since step {lowest.step:,}, from {format_number(lowest.eval_loss)} to "
        f"{format_number(last.eval_loss)} at step {last.step:,} ({percent(rise)}), while training loss fell from "
        f"{format_number(loss_before)} to {format_number(loss_now)}.",
        why="The model gets better at the rows it learns from and worse at rows it has not seen.",
        action=f"Stopping now keeps step {lowest.step:,}."
        + (" It stops by itself if checks go on like this." if stops else ""),
        actions=(STOP, _fewer_epochs(history, lowest)),
    )


def retract(history: RunHistory, advice: AdviceEvent) -> AdviceEvent | None:
    """Retract the advice when a later validation is the new minimum."""
    lowest = min(history.tuned, key=lambda check: check.eval_loss, default=None)
    if lowest is None or lowest.step <= advice.step:
        return None
    return AdviceEvent(
        rule="overfitting",
        severity="ok",
        step=lowest.step,
        title="Validation loss falls again",
        message=f"Validation loss {format_number(lowest.eval_loss)} at step {lowest.step:,} is the lowest so far: "
        "what was "
        "said of learning by heart no longer holds.",
    )


def _turning_point(history: RunHistory) -> tuple[EvaluationEvent, EvaluationEvent, float, float] | None:
    """The validation with the minimum, the last one, and the training loss around both, when they diverge. Otherwise
    None."""
    if len(history.tuned) <= CHECKS or not history.points:
        return None
    lowest = min(history.tuned, key=lambda check: check.eval_loss)
    later = [check for check in history.tuned if check.step > lowest.step]
    if len(later) < CHECKS or any(check.best for check in later):
        return None
    line = lowest.eval_loss + max(RISE * lowest.eval_loss, SCATTER * noise([each.eval_loss for each in later]))
    if any(check.eval_loss < line for check in later[-CHECKS:]):
        return None
    last = later[-1]
    width = max(3, last.step - later[-2].step)
    then = [point.loss for point in history.points if abs(point.step - lowest.step) <= width / 2] or _nearest_loss(
        history, lowest
    )
    now = history.losses(last.step - width, last.step)
    if not then or not now or typical_loss(now) > typical_loss(then) * (1 - FALL):
        return None
    return lowest, last, typical_loss(then), typical_loss(now)


def _nearest_loss(history: RunHistory, check: EvaluationEvent) -> list[float]:
    point: Point = min(history.points, key=lambda each: abs(each.step - check.step))
    return [point.loss]


def _fewer_epochs(history: RunHistory, lowest: EvaluationEvent) -> Action:
    """The action to run again with as many epochs as helped, or with half the learning rate when those are few."""
    epoch = next((point.epoch for point in history.points if point.step >= lowest.step), history.config.epochs)
    epochs = one_decimal(epoch)
    if epochs < history.config.epochs:
        words = "pass" if epochs == 1 else "passes"
        return Action(kind="repeat", label=f"Run again with {epochs:g} {words}", changes={"epochs": epochs})
    rate = float(f"{history.config.learning_rate / 2:.2g}")
    return Action(kind="repeat", label=f"Run again at half the rate ({rate:g})", changes={"learning_rate": rate})


RULE = Rule("overfitting", advise, retract)
