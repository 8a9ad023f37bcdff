"""The loss became infinite or NaN and the run has failed, most likely because of the learning rate."""

from studio.schema.events import AdviceEvent
from studio.training.coach.base import Rule, RunHistory, format_number, rerun_at_rate


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice when training diverged."""
    if history.error is None or history.error.field != "learning_rate":
        return None
    step, rate = history.step + 1, history.config.learning_rate
    sentences = [
        f"In step {step:,} the loss became infinite or not a number (NaN), at a learning rate of {rate:g}.",
        *(f"The last loss was {format_number(last.loss)}." for last in history.points[-1:]),
    ]
    return AdviceEvent(
        rule="diverged",
        severity="error",
        step=history.step,
        title="Training diverged",
        message=" ".join(sentences),
        why="Each step changed the weights more than the step before, until they were unusable.",
        action="Run again with a tenth of the learning rate. Checkpoints that were saved before are safe.",
        actions=(rerun_at_rate(history, 0.1),),
    )


RULE = Rule("diverged", advise)
