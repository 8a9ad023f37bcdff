"""Neither loss moves: each step is too small to change anything."""

from studio.schema.events import AdviceEvent
from studio.training.coach.base import STOP, Rule, Seen, at_rate, figure, middle, percent

STILL = 0.005
"""Less change than this is none."""
STEPS = 8
"""Fewer steps tell nothing."""


def look(seen: Seen) -> AdviceEvent | None:
    """Speak from a third of the run on: after the warm-up, and while most of it can still be saved."""
    warm = seen.config.warmup_share * seen.total
    if seen.share() < 1 / 3 or seen.step < STEPS + warm or not seen.base or not seen.tuned:
        return None
    base, last = seen.base.eval_loss, seen.tuned[-1].eval_loss
    if seen.tuned[-1].step < STEPS + warm or base < 0.05:
        return None
    if any(abs(check.eval_loss - base) > STILL * base for check in seen.tuned):
        return None
    known = seen.trainer not in ("preference", "feedback") or abs(base - last) < 1e-3
    if not known:
        return None
    now = middle([point.loss for point in seen.points[-STEPS:]])
    return AdviceEvent(
        rule="rate-too-low",
        severity="warn",
        step=seen.step,
        title="Hardly anything is learned",
        message=f"Validation loss was {figure(base)} before the first step and is {figure(last)} at step "
        f"{seen.tuned[-1].step:,}: a change of {percent(abs(last - base) / base)}. Training loss is {figure(now)}.",
        why=f"At a learning rate of {seen.config.learning_rate:g} each step moves the weights too little.",
        action="Run again at ten times the rate.",
        actions=(at_rate(10 * seen.config.learning_rate, "ten times the rate"), STOP),
    )


RULE = Rule("rate-too-low", look, unless=("rate-too-high",))
