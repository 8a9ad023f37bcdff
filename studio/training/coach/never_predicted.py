"""A label that is never predicted."""

from collections.abc import Sequence

from studio.schema.events import Action, AdviceEvent, EvaluationEvent
from studio.schema.numbers import plural
from studio.training.coach.base import Rule, RunHistory, retraction, twice_as_long

MIN_ROWS = 3
"""A label with fewer validation rows may be missed by chance."""
MAX_NAMED = 3


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice from half the run on, about labels that the last two validations never predicted."""
    if history.share() < 0.5 or len(history.tuned) < 2:
        return None
    last, before = history.tuned[-1], history.tuned[-2]
    missed = _missed(history.tuned)
    if not missed:
        return None
    named = ", ".join(f"{label} ({rows} rows)" for label, rows in list(missed.items())[:MAX_NAMED])
    if (more := len(missed) - MAX_NAMED) > 0:
        named = f"{named} and {more} more"
    return AdviceEvent(
        rule="never-predicted",
        severity="warn",
        step=last.step,
        title=plural(len(missed), "A label is never predicted", "{n} labels are never predicted"),
        message=f"In the validations at steps {before.step:,} and {last.step:,} the model predicted {named} for no "
        "row.",
        why="Ignoring a label with few rows costs little on average, but for its own rows the model is always wrong.",
        action="Give rare labels more weight." if not history.config.balance_labels else "Add rows with that label.",
        actions=_actions(history),
    )


def _actions(history: RunHistory) -> tuple[Action, ...]:
    if not history.config.balance_labels:
        change = Action(
            kind="repeat", label="Run again with more weight on rare labels", changes={"balance_labels": True}
        )
        return (change,)
    return (twice_as_long(history),)


def update(history: RunHistory, advice: AdviceEvent) -> AdviceEvent | None:
    """Retract the advice when all labels are predicted. Repeat it when other labels are missing, and at the end."""
    if not history.tuned:
        return None
    last = history.tuned[-1]
    if last.step > advice.step and not any(rows >= MIN_ROWS for rows in last.missed.values()):
        message = f"In the validation at step {last.step:,} each label was predicted at least once."
        return retraction(advice, last.step, "All labels are predicted now", message)
    new = advise(history)
    before = _missed([check for check in history.tuned if check.step <= advice.step])
    if new is None or (_missed(history.tuned) == before and not (history.ended and new.step > advice.step)):
        return None
    return new


def _missed(checks: Sequence[EvaluationEvent]) -> dict[str, int]:
    """Labels that the last two validations never predicted, with their rows."""
    last, before = checks[-1:], checks[-2:-1]
    return {
        label: rows
        for check in last
        for label, rows in check.missed.items()
        if rows >= MIN_ROWS and any(label in each.missed for each in before)
    }


RULE = Rule("never-predicted", advise, update, unless=("rate-too-low", "rate-too-high", "underfitting"))
