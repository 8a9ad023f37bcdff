"""Overfitting: validation loss rises while training loss falls."""

from studio.schema.events import Action, AdviceEvent, EvaluationEvent
from studio.training.coach.base import (
    Point,
    Rule,
    RunHistory,
    format_number,
    noise,
    one_decimal,
    percent,
    rerun_at_rate,
    rerun_with_epochs,
    retraction,
    stop,
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
ENDED = "Train for fewer epochs, or add rows."
"""What to do once the run has ended."""


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice when the last validations are above the minimum, no metric improved, and training loss kept falling."""
    turning_point = _turning_point(history)
    if turning_point is None:
        return None
    lowest, last, loss_before, loss_now = turning_point
    rise = last.eval_loss / lowest.eval_loss - 1
    return AdviceEvent(
        rule="overfitting",
        severity="warn",
        step=last.step,
        title="Overfitting",
        message=f"Validation loss has risen since step {lowest.step:,}, from {format_number(lowest.eval_loss)} to "
        f"{format_number(last.eval_loss)} at step {last.step:,} ({percent(rise)}), while training loss fell from "
        f"{format_number(loss_before)} to {format_number(loss_now)}.",
        why="The model memorizes the training rows and gets worse on rows that it is not trained on.",
        action=_what_to_do(history),
        actions=(stop(history), _fewer_epochs(history, lowest)),
    )


def update(history: RunHistory, advice: AdviceEvent) -> AdviceEvent | None:
    """Retract the advice when a later validation is the new minimum. Update it at the end, and after a resume."""
    lowest = min(history.tuned, key=lambda check: check.eval_loss, default=None)
    if lowest is None:
        return None
    if lowest.step <= advice.step:
        if history.ended == (advice.action == ENDED):
            return None
        return advise(history) or advice.model_copy(update={"action": _what_to_do(history)})
    message = (
        f"Validation loss {format_number(lowest.eval_loss)} at step {lowest.step:,} is the lowest so far. "
        "The model does not overfit."
    )
    return retraction(advice, lowest.step, "Validation loss is falling again", message)


def _what_to_do(history: RunHistory) -> str:
    result = history.result
    if history.ended or result is None:
        return ENDED
    if not history.config.keep_best:
        return "If you stop now, the last step is the result."
    if history.config.early_stopping_patience:
        return f"If you stop now, step {result.step:,} is the result. Early stopping ends the run if this continues."
    return f"If you stop now, step {result.step:,} is the result."


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
        return rerun_with_epochs(epochs)
    return rerun_at_rate(history, 0.5)


RULE = Rule("overfitting", advise, update)
