"""Neither loss changes: the steps are too small."""

from studio.schema.events import AdviceEvent
from studio.training.coach.base import (
    Rule,
    RunHistory,
    format_number,
    percent,
    rerun_at_rate,
    retraction,
    stop,
    typical_loss,
)

MIN_CHANGE = 0.005
"""A smaller relative change counts as none."""
MIN_STEPS = 8
"""Minimum number of steps before the rule applies."""


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice from a third of the run on: after the warmup, and while most of the run can still be saved."""
    warm = history.config.warmup_share * history.total
    if history.share() < 1 / 3 or history.step < MIN_STEPS + warm or not history.base or not history.tuned:
        return None
    base, last = history.base.eval_loss, history.tuned[-1].eval_loss
    if history.tuned[-1].step < MIN_STEPS + warm or base < 0.05:
        return None
    if any(abs(check.eval_loss - base) > MIN_CHANGE * base for check in history.tuned):
        return None
    comparable = history.loss_of != "preference" or abs(base - last) < 1e-3
    if not comparable:
        return None
    now = typical_loss([point.loss for point in history.points[-MIN_STEPS:]])
    return AdviceEvent(
        rule="rate-too-low",
        severity="warn",
        step=history.step,
        title="The model hardly learns",
        message=f"Validation loss was {format_number(base)} before the first step and is {format_number(last)} at step "
        f"{history.tuned[-1].step:,}, a change of {percent(abs(last - base) / base)}. Training loss is "
        f"{format_number(now)}.",
        why=f"At a learning rate of {history.config.learning_rate:g} each step changes the weights too little.",
        action="Run again with ten times the learning rate.",
        actions=(rerun_at_rate(history, 10.0), stop(history)),
    )


def update(history: RunHistory, advice: AdviceEvent) -> AdviceEvent | None:
    """Retract the advice when validation loss has fallen after all."""
    if not history.base or not history.tuned:
        return None
    base, last = history.base.eval_loss, history.tuned[-1].eval_loss
    if base - last <= 2 * MIN_CHANGE * base:
        return None
    message = (
        f"Validation loss has fallen from {format_number(base)} to {format_number(last)} ({percent(1 - last / base)})."
    )
    return retraction(advice, history.step, "The model is learning now", message)


RULE = Rule("rate-too-low", advise, update, unless=("rate-too-high",))
