"""The loss jumps or ends above its start: the steps are too large."""

from studio.schema.events import AdviceEvent
from studio.training.coach.base import (
    Point,
    Rule,
    RunHistory,
    format_number,
    rerun_at_rate,
    retraction,
    stop,
    typical_loss,
)

WINDOW = 5
"""Number of steps whose median is used as the current loss."""
ABOVE = 1.25
"""Multiple of the initial loss above which training has made it worse."""
SPIKE, GRADIENT = 2.5, 3.0
"""Multiples of the usual loss and gradient norm of the preceding steps that count as a jump."""
BEFORE, SPIKES = 20, 3
RECOVERED = 0.9
"""Multiple of the initial loss below which training has recovered."""


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice when training made the loss worse, or when it jumps repeatedly."""
    if len(history.points) < 2 * WINDOW:
        return None
    worse = _worse_than_start(history)
    message = worse or _spikes(history)
    if not message:
        return None
    rate = history.config.learning_rate
    actions = [rerun_at_rate(history, 0.5), rerun_at_rate(history, 0.1)]
    return AdviceEvent(
        rule="rate-too-high",
        severity="error",
        step=history.step,
        title="The learning rate is too high",
        message=message,
        why="Each step overshoots, and the next step has to undo it. The model forgets what the base model knew.",
        action=f"Run again with a learning rate below {rate:g}.",
        actions=(*(reversed(actions) if worse else actions), stop(history)),
    )


def update(history: RunHistory, advice: AdviceEvent) -> AdviceEvent | None:
    """Retract the advice when the loss is below its start and has not jumped for a while."""
    now = typical_loss([point.loss for point in history.points[-WINDOW:]])
    if history.step - advice.step < 3 * BEFORE or now > RECOVERED * _start(history) or _jumps(history):
        return None
    steps = 2 * BEFORE
    message = f"Training loss is {format_number(now)} and has not jumped in the last {steps} steps."
    return retraction(advice, history.step, "Training loss has recovered", message)


def _start(history: RunHistory) -> float:
    """The loss before training. The second step may be far above it."""
    return max(history.points[0].loss, history.base.eval_loss if history.base else 0.0)


def _worse_than_start(history: RunHistory) -> str:
    first = _start(history)
    now = typical_loss([point.loss for point in history.points[-WINDOW:]])
    if now <= first * ABOVE or now - first < 0.2:
        return ""
    sentences = [f"Training loss is {format_number(now)} around step {history.step:,}."]
    sentences.append(f"It began at {format_number(first)}.")
    if top := max(point.norm or 0.0 for point in history.points):
        sentences.append(f"The largest gradient norm so far was {format_number(top)}.")
    return " ".join(sentences)


def _jumps(history: RunHistory) -> list[tuple[Point, float]]:
    """Steps that return the loss to its start, with large gradients, and the usual loss before them."""
    start = _start(history)
    recent = history.points[-3 * BEFORE :]
    jumps = []
    for at in range(BEFORE, len(recent)):
        before, current = recent[at - BEFORE : at], recent[at]
        usual = typical_loss([point.loss for point in before])
        norms = [point.norm for point in before if point.norm is not None]
        large_gradient = current.norm is None or not norms or current.norm > GRADIENT * typical_loss(norms)
        if current.loss > SPIKE * usual and current.loss > 0.8 * start and large_gradient:
            jumps.append((current, usual))
    return jumps


def _spikes(history: RunHistory) -> str:
    """Repeated jumps, in words."""
    jumps, recent = _jumps(history), history.points[-3 * BEFORE :]
    if len(jumps) < SPIKES:
        return ""
    highest, usual = max(jumps, key=lambda each: each[0].loss)
    step, loss, usual_loss = f"{highest.step:,}", format_number(highest.loss), format_number(usual)
    rise = f"At step {step} it rose to {loss} from the usual {usual_loss}."
    if highest.norm:
        norm = format_number(highest.norm)
        rise = f"At step {step} it rose to {loss} from the usual {usual_loss}, with a gradient norm of {norm}."
    jumped = f"Training loss jumped {len(jumps)} times in the last {len(recent)} steps."
    return f"{jumped} {rise}"


RULE = Rule("rate-too-high", advise, update, unless=("diverged",))
