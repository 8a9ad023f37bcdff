"""Validation loss is noisy, because there are too few validation rows."""

from statistics import fmean

from studio.schema.events import Action, AdviceEvent
from studio.schema.numbers import rows
from studio.training.coach.base import Rule, RunHistory, format_number, noise, retraction

MIN_CHECKS = 8
"""Minimum number of validations to tell noise from a trend."""
MAX_ROWS = 24
"""With more validation rows, their loss is stable and changes come from the model."""
MOST_SHARE = 0.5
"""Of the rows, for validation."""
VISIBLE = 0.01
"""A smaller share of the loss counts as no noise."""


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice when the last validations scatter more than they changed."""
    losses = [check.eval_loss for check in history.tuned[-MIN_CHECKS:]]
    read = history.read
    if read is None or len(losses) < MIN_CHECKS or not 0 < read.held <= MAX_ROWS:
        return None
    half = MIN_CHECKS // 2
    scatter, drift = noise(losses), abs(fmean(losses[half:]) - fmean(losses[:half]))
    if scatter < VISIBLE * fmean(losses) or scatter < drift:
        return None
    current = history.config.validation_share or read.held / (read.held + read.learned)
    share = min(MOST_SHARE, max(0.2, round(2 * current, 2)))
    percents = f"{100 * share:.0f}%"
    action, actions = "Add rows.", tuple[Action, ...]()
    if share > current:
        action = f"Run again with {percents} of the rows for validation."
        label = f"Run again with {percents} for validation"
        actions = (Action(kind="repeat", label=label, changes={"validation_share": share}),)
    return AdviceEvent(
        rule="noisy-validation",
        severity="info",
        step=history.step,
        title="Too few validation rows",
        message=f"In the last {MIN_CHECKS} validations the loss varied by about {format_number(scatter)}, but "
        f"changed by only {format_number(drift)} in total. It is measured on {rows(read.held)}.",
        why="Chance then decides which step counts as the best, and early stopping may end the run too early.",
        action=action,
        actions=actions,
    )


def update(history: RunHistory, advice: AdviceEvent) -> AdviceEvent | None:
    """At the end: repeat the advice with the last figures, or retract it."""
    if not history.ended or history.step <= advice.step:
        return None
    message = f"It varied less in the last {MIN_CHECKS} validations."
    return advise(history) or retraction(advice, history.step, "Validation loss is steadier now", message)


RULE = Rule("noisy-validation", advise, update, unless=("rate-too-high",))
