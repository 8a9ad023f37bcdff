"""Loss near zero before the rows were read twice: what is to be learned stands in what is given."""

from math import log

from studio.schema.events import Action, AdviceEvent
from studio.training.coach.base import LABELING, WRITING, Rule, Seen, figure, middle

NEAR_ZERO = {name: 0.12 for name in WRITING} | {name: 0.02 for name in LABELING}
"""By kind of loss. A model that writes can't be so sure of a text that it could not know."""
PASSES = 1.5
"""Within so many passes: later on it may know the rows by heart."""
WINDOW = 5


def look(seen: Seen) -> AdviceEvent | None:
    """Speak of the first passes alone."""
    line = NEAR_ZERO.get(seen.trainer)
    labels = seen.read.labels if seen.read else 0
    unknown = line is None or (seen.trainer in LABELING and not labels)
    if line is None or unknown or len(seen.points) < WINDOW or seen.points[-1].epoch > PASSES:
        return None
    line += _least(seen.config.label_smoothing, labels) if labels else 0.0
    now = middle([point.loss for point in seen.points[-WINDOW:]])
    held = seen.tuned[-1].eval_loss if seen.tuned else None
    if now > line or (held is not None and held > 2 * line):
        return None
    also = f", and validation loss {figure(held)}" if held is not None else ""
    return AdviceEvent(
        rule="too-good",
        severity="warn",
        step=seen.step,
        title="Too good to be true",
        message=f"Training loss is {figure(now)} by step {seen.step:,}{also}, before the rows were read "
        f"{'once' if seen.points[-1].epoch <= 1 else 'twice'}.",
        why="So soon, that is copying: the reply or the label stands in the prompt, or all rows say the same. "
        "With rows that lack it the model will have learned nothing.",
        action="Look at what the model sees of a row, and leave out the column or the words that give it away.",
        actions=(Action(kind="open", label="Look at the rows", tab="data"),),
    )


def _least(smoothing: float, labels: int) -> float:
    """The lowest loss that there is when certainty is taken from the right label and spread over all."""
    if not smoothing:
        return 0.0
    right, other = 1 - smoothing + smoothing / labels, smoothing / labels
    return -right * log(right) - (labels - 1) * other * log(other)


RULE = Rule("too-good", look)
