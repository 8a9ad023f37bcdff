"""The loss stopped being a number: the run has ended, and its rate is the likely reason."""

from studio.schema.events import AdviceEvent
from studio.training.coach.base import Rule, Seen, at_rate, figure


def look(seen: Seen) -> AdviceEvent | None:
    """Speak when training ended over its rate."""
    if seen.error is None or seen.error.field != "learning_rate":
        return None
    before = f" The last loss was {figure(seen.points[-1].loss)}." if seen.points else ""
    return AdviceEvent(
        rule="diverged",
        severity="error",
        step=seen.step,
        title="The loss ran away",
        message=f"In step {seen.step + 1:,} the loss stopped being a number, at a learning rate of "
        f"{seen.config.learning_rate:g}.{before}",
        why="Each step threw the weights further than the one before, so that nothing in them is of use any more.",
        action="Run again at a tenth of the rate. What was saved before is safe.",
        actions=(at_rate(seen.config.learning_rate / 10, "a tenth of the rate"),),
    )


RULE = Rule("diverged", look)
