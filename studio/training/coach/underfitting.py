"""Both losses lie flat and high: the model can't take in more in this way."""

from math import log

from studio.schema.config import ADAPTERS
from studio.schema.events import Action, AdviceEvent
from studio.training.coach.base import LABELING, WRITING, Rule, Seen, at_rate, figure, middle

HIGH = 2.5
"""Loss of each token written above which a tuned model still guesses: one word in twelve."""
HIGH_LABELS = 0.75
"""Of what guessing costs, where rows are sorted under labels."""
FLAT = 0.02
"""Less change than this, between the third and the last quarter, is none."""
MOVED = 0.02
"""It has learned something: otherwise the rate is too low, which another rule says."""


def look(seen: Seen) -> AdviceEvent | None:
    """Speak from three quarters of the run on, and only of losses that can be told to be high."""
    if seen.share() < 0.75 or len(seen.points) < 20 or len(seen.tuned) < 3:
        return None
    quarter = len(seen.points) // 4
    third, last = (
        middle([point.loss for point in part])
        for part in (seen.points[-2 * quarter : -quarter], seen.points[-quarter:])
    )
    first = middle([point.loss for point in seen.points[: max(3, quarter // 4)]])
    checks = seen.tuned[-1].eval_loss, seen.tuned[-3].eval_loss
    line = _line(seen)
    if line is None or min(last, checks[0]) < line or last > first * (1 - MOVED):
        return None
    if third - last > FLAT * third or checks[1] - checks[0] > FLAT * checks[1]:
        return None
    return AdviceEvent(
        rule="underfitting",
        severity="warn",
        step=seen.step,
        title="It has stopped learning, too early",
        message=f"Training loss lies flat at {figure(last)} (it was {figure(third)} a quarter of the run before), and "
        f"validation loss at {figure(checks[0])}. Above {figure(line)} a model is mostly guessing.",
        why="More of the same changes little: what learns is too small, or moves too little, for these rows.",
        action="Run again with more that learns, or at a higher rate.",
        actions=_ways(seen),
    )


def _line(seen: Seen) -> float | None:
    if seen.trainer in WRITING:
        return HIGH
    labels = seen.read.labels if seen.read else 0
    return HIGH_LABELS * log(labels) if seen.trainer in LABELING and labels > 1 else None


def _ways(seen: Seen) -> tuple[Action, ...]:
    config = seen.config
    faster = at_rate(2 * config.learning_rate, "twice the rate")
    if config.method in ADAPTERS and config.lora_rank < 64:
        rank = config.lora_rank * 4
        changes: dict[str, bool | int | float | str] = {"lora_rank": rank, "lora_alpha": config.lora_alpha * 4}
        return Action(kind="repeat", label=f"Run again with rank {rank}", changes=changes), faster
    passes = float(min(1000, 2 * config.epochs))
    return faster, Action(kind="repeat", label=f"Run again with {passes:g} passes", changes={"epochs": passes})


RULE = Rule("underfitting", look, unless=("rate-too-low", "rate-too-high"))
