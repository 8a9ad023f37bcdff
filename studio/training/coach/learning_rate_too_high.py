"""The loss jumps, or ends above where it began: each step goes too far."""

from studio.schema.events import AdviceEvent
from studio.training.coach.base import STOP, Rule, Seen, at_rate, figure, middle

WINDOW = 5
"""Steps whose median counts as where the loss is."""
ABOVE = 1.25
"""Times the loss before the first steps: it got worse by training."""
SPIKE, LENGTH = 2.5, 3.0
"""Times the usual loss and the usual gradient, in the steps before: a spike."""
BEFORE, SPIKES = 20, 3


def look(seen: Seen) -> AdviceEvent | None:
    """Speak when training made the loss worse than it was, or when it jumps again and again."""
    if len(seen.points) < 2 * WINDOW:
        return None
    worse = _worse(seen)
    said = worse or _spikes(seen)
    if not said:
        return None
    rate = seen.config.learning_rate
    ways = [at_rate(rate / 2, "half the rate"), at_rate(rate / 10, "a tenth of the rate")]
    return AdviceEvent(
        rule="rate-too-high",
        severity="error",
        step=seen.step,
        title="The learning rate is too high",
        message=said,
        why="Each step overshoots, and the next one has to undo it; what the base knew is lost on the way.",
        action=f"Run again at a lower rate than {rate:g}.",
        actions=(*(reversed(ways) if worse else ways), STOP),
    )


def _start(seen: Seen) -> float:
    """The loss before anything was learned: the second step may be far above it."""
    return max(seen.points[0].loss, seen.base.eval_loss if seen.base else 0.0)


def _worse(seen: Seen) -> str:
    first = _start(seen)
    now = middle([point.loss for point in seen.points[-WINDOW:]])
    if now <= first * ABOVE or now - first < 0.2:
        return ""
    top = max(point.norm or 0.0 for point in seen.points)
    norm = f" The longest gradient so far was {figure(top)}." if top else ""
    return f"Training loss is {figure(now)} around step {seen.step:,}; it began at {figure(first)}.{norm}"


def _spikes(seen: Seen) -> str:
    """Steps that throw the loss back to where it began, with long gradients."""
    start = _start(seen)
    recent = seen.points[-3 * BEFORE :]
    found = []
    for at in range(BEFORE, len(recent)):
        before, here = recent[at - BEFORE : at], recent[at]
        usual = middle([point.loss for point in before])
        norms = [point.norm for point in before if point.norm is not None]
        long = here.norm is None or not norms or here.norm > LENGTH * middle(norms)
        if here.loss > SPIKE * usual and here.loss > 0.8 * start and long:
            found.append((here, usual))
    if len(found) < SPIKES:
        return ""
    highest, usual = max(found, key=lambda each: each[0].loss)
    norm = f", with a gradient of length {figure(highest.norm)}" if highest.norm else ""
    return (
        f"Training loss jumped {len(found)} times in the last {len(recent)} steps: at step {highest.step:,} to "
        f"{figure(highest.loss)}, where {figure(usual)} was usual{norm}."
    )


RULE = Rule("rate-too-high", look, unless=("diverged",))
