"""The loss became infinite or NaN and the run has failed, most likely because of the learning rate."""

from studio.schema.events import AdviceEvent
from studio.training.coach.base import Rule, RunHistory, format_number, rerun_at_rate


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice when training diverged."""
    if history.error is None or history.error.field != "learning_rate":
        return None
    last_loss = f" The last loss was {format_number(history.points[-1].loss)}." if history.points else ""
    return AdviceEvent(
        rule="diverged",
        severity="error",
        step=history.step,
        title="Training diverged",
        message=f"In step {history.step + 1:,} the loss became infinite or not a number (NaN), at a learning rate of "
        f"{history.config.learning_rate:g}.{last_loss}",
        why="Each step changed the weights more than the step before, until they were unusable.",
        action="Run again with a tenth of the learning rate. Checkpoints that were saved before are safe.",
        actions=(rerun_at_rate(history.config.learning_rate / 10, "a tenth of"),),
    )


RULE = Rule("diverged", advise)
