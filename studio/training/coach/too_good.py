"""The loss is near zero in the first epochs: the target is part of the input."""

from math import log

from studio.schema.events import Action, AdviceEvent
from studio.training.coach.base import Rule, RunHistory, format_number, retraction, typical_loss

NEAR_ZERO = {"tokens": 0.12, "labels": 0.02}
"""What the loss is about → threshold. A generative model can't be that certain of a text that it does not know."""
MAX_EPOCHS = 1.5
"""Only within this many epochs. Later the model may have memorized the rows."""
WINDOW = 5


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice during the first epochs only."""
    threshold = _threshold(history)
    if threshold is None or len(history.points) < WINDOW or history.points[-1].epoch > MAX_EPOCHS:
        return None
    now = typical_loss([point.loss for point in history.points[-WINDOW:]])
    validation_loss = history.tuned[-1].eval_loss if history.tuned else None
    if now > threshold or (validation_loss is not None and validation_loss > 2 * threshold):
        return None
    step, epoch, loss = f"{history.step:,}", 1 if history.points[-1].epoch <= 1 else 2, format_number(now)
    message = f"Training loss is {loss} by step {step}, before the end of epoch {epoch}."
    if validation_loss is not None:
        other = format_number(validation_loss)
        message = (
            f"Training loss is {loss} by step {step}, and validation loss {other}, before the end of epoch {epoch}."
        )
    return AdviceEvent(
        rule="too-good",
        severity="warn",
        step=history.step,
        title="Too good to be true",
        message=message,
        why="So low a loss this early usually means data leakage: the prompt contains the reply or the label, or all "
        "replies are alike. The model then fails on rows without that hint.",
        action="Look at what the model sees of a row. Remove the column or the words that contain the answer.",
        actions=(Action(kind="open", label="Look at the rows", tab="data"),),
    )


def _threshold(history: RunHistory) -> float | None:
    threshold = NEAR_ZERO.get(history.loss_of)
    labels = history.read.labels if history.read else 0
    if threshold is None or (history.loss_of == "labels" and not labels):
        return None
    return threshold + (_minimum_loss(history.config.label_smoothing, labels) if labels else 0.0)


def _minimum_loss(smoothing: float, labels: int) -> float:
    """The minimum of the loss with label smoothing."""
    if not smoothing:
        return 0.0
    right, other = 1 - smoothing + smoothing / labels, smoothing / labels
    return -right * log(right) - (labels - 1) * other * log(other)


def update(history: RunHistory, advice: AdviceEvent) -> AdviceEvent | None:
    """Retract the advice when validation loss is not near zero after all."""
    threshold = _threshold(history)
    if threshold is None or not history.tuned or history.tuned[-1].eval_loss <= 4 * threshold:
        return None
    loss = format_number(history.tuned[-1].eval_loss)
    return retraction(advice, history.step, "Validation loss is not near zero", f"Validation loss is {loss} now.")


RULE = Rule("too-good", advise, update)
