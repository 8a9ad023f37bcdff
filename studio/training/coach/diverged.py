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
        title="The loss ran away",
        message=f"In step {history.step + 1:,} the loss stopped being a number, at a learning rate of "
        f"{history.config.learning_rate:g}.{last_loss}",
        why="Each step threw the weights further than the one before, so that nothing in them is of use any more.",
        action="Run again at a tenth of the rate. What was saved before is safe.",
        actions=(rerun_at_rate(history.config.learning_rate / 10, "a tenth of the rate"),),
    )


RULE = Rule("diverged", advise)
