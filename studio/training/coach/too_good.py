"""The loss is near zero in the first epochs: the target is part of the input."""

from math import log

from studio.schema.events import Action, AdviceEvent
from studio.training.coach.base import Rule, RunHistory, format_number, typical_loss

NEAR_ZERO = {"tokens": 0.12, "labels": 0.02}
"""What the loss is about → threshold. A generative model can't be that certain of a text that it does not know."""
MAX_EPOCHS = 1.5
"""Only within this many epochs. Later the model may have memorized the rows."""
WINDOW = 5


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice during the first epochs only."""
    threshold = NEAR_ZERO.get(history.loss_of)
    labels = history.read.labels if history.read else 0
    unsuitable = threshold is None or (history.loss_of == "labels" and not labels)
    if threshold is None or unsuitable or len(history.points) < WINDOW or history.points[-1].epoch > MAX_EPOCHS:
        return None
    threshold += _minimum_loss(history.config.label_smoothing, labels) if labels else 0.0
    now = typical_loss([point.loss for point in history.points[-WINDOW:]])
    validation_loss = history.tuned[-1].eval_loss if history.tuned else None
    if now > threshold or (validation_loss is not None and validation_loss > 2 * threshold):
        return None
    validation = f", and validation loss {format_number(validation_loss)}" if validation_loss is not None else ""
    return AdviceEvent(
        rule="too-good",
        severity="warn",
        step=history.step,
        title="Too good to be true",
        message=f"Training loss is {format_number(now)} by step {history.step:,}{validation}, before the rows were "
        "read "
        f"{'once' if history.points[-1].epoch <= 1 else 'twice'}.",
        why="So soon, that is copying: the reply or the label stands in the prompt, or all rows say the same. "
        "With rows that lack it the model will have learned nothing.",
        action="Look at what the model sees of a row, and leave out the column or the words that give it away.",
        actions=(Action(kind="open", label="Look at the rows", tab="data"),),
    )


def _minimum_loss(smoothing: float, labels: int) -> float:
    """The minimum of the loss with label smoothing."""
    if not smoothing:
        return 0.0
    right, other = 1 - smoothing + smoothing / labels, smoothing / labels
    return -right * log(right) - (labels - 1) * other * log(other)


RULE = Rule("too-good", advise)
