"""Validation loss rises while training loss falls: the rows are learned by heart."""

from studio.schema.events import Action, AdviceEvent, EvaluationEvent
from studio.training.coach.base import STOP, Point, Rule, Seen, figure, middle, noise, one_decimal, percent

RISE = 0.03
"""Validation loss this much above its lowest counts as risen."""
SCATTER = 2.5
"""And by this many times what the checks since then scatter."""
FALL = 0.03
"""And training loss this much below what it was then, as still falling."""
CHECKS = 2
"""So many checks in a row must say so."""


def look(seen: Seen) -> AdviceEvent | None:
    """Speak when the last checks all lie above the lowest, nothing else got better, and training loss went on down."""
    found = _turn(seen)
    if found is None:
        return None
    lowest, last, then, now = found
    rise = last.eval_loss / lowest.eval_loss - 1
    stops = seen.config.early_stopping_patience and not seen.ended
    return AdviceEvent(
        rule="overfitting",
        severity="warn",
        step=last.step,
        title="Learning by heart",
        message=f"Validation loss has risen since step {lowest.step:,}, from {figure(lowest.eval_loss)} to "
        f"{figure(last.eval_loss)} at step {last.step:,} ({percent(rise)}), while training loss fell from "
        f"{figure(then)} to {figure(now)}.",
        why="The model gets better at the rows it learns from and worse at rows it has not seen.",
        action=f"Stopping now keeps step {lowest.step:,}."
        + (" It stops by itself if checks go on like this." if stops else ""),
        actions=(STOP, _fewer(seen, lowest)),
    )


def over(seen: Seen, told: AdviceEvent) -> AdviceEvent | None:
    """A later check is the lowest of all after all."""
    lowest = min(seen.tuned, key=lambda check: check.eval_loss, default=None)
    if lowest is None or lowest.step <= told.step:
        return None
    return AdviceEvent(
        rule="overfitting",
        severity="ok",
        step=lowest.step,
        title="Validation loss falls again",
        message=f"Validation loss {figure(lowest.eval_loss)} at step {lowest.step:,} is the lowest so far: what was "
        "said of learning by heart no longer holds.",
    )


def _turn(seen: Seen) -> tuple[EvaluationEvent, EvaluationEvent, float, float] | None:
    """The lowest check, the last one, and training loss around both, where they part."""
    if len(seen.tuned) <= CHECKS or not seen.points:
        return None
    lowest = min(seen.tuned, key=lambda check: check.eval_loss)
    later = [check for check in seen.tuned if check.step > lowest.step]
    if len(later) < CHECKS or any(check.best for check in later):
        return None
    line = lowest.eval_loss + max(RISE * lowest.eval_loss, SCATTER * noise([each.eval_loss for each in later]))
    if any(check.eval_loss < line for check in later[-CHECKS:]):
        return None
    last = later[-1]
    width = max(3, last.step - later[-2].step)
    then = [point.loss for point in seen.points if abs(point.step - lowest.step) <= width / 2] or _near(seen, lowest)
    now = seen.losses(last.step - width, last.step)
    if not then or not now or middle(now) > middle(then) * (1 - FALL):
        return None
    return lowest, last, middle(then), middle(now)


def _near(seen: Seen, check: EvaluationEvent) -> list[float]:
    point: Point = min(seen.points, key=lambda each: abs(each.step - check.step))
    return [point.loss]


def _fewer(seen: Seen, lowest: EvaluationEvent) -> Action:
    """As many passes as were of use; where those are few already, half the rate."""
    epoch = next((point.epoch for point in seen.points if point.step >= lowest.step), seen.config.epochs)
    passes = one_decimal(epoch)
    if passes < seen.config.epochs:
        words = "pass" if passes == 1 else "passes"
        return Action(kind="repeat", label=f"Run again with {passes:g} {words}", changes={"epochs": passes})
    rate = float(f"{seen.config.learning_rate / 2:.2g}")
    return Action(kind="repeat", label=f"Run again at half the rate ({rate:g})", changes={"learning_rate": rate})


RULE = Rule("overfitting", look, over)
