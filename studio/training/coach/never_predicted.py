"""A label that is never predicted."""

from studio.schema.events import Action, AdviceEvent
from studio.training.coach.base import Rule, RunHistory

MIN_ROWS = 3
"""A label with fewer validation rows may be missed by chance."""
MAX_NAMED = 3


def advise(history: RunHistory) -> AdviceEvent | None:
    """Advice from half the run on, about labels that the last two validations never predicted."""
    if history.share() < 0.5 or len(history.tuned) < 2:
        return None
    last, before = history.tuned[-1], history.tuned[-2]
    missed = {label: rows for label, rows in last.missed.items() if rows >= MIN_ROWS and label in before.missed}
    if not missed:
        return None
    named = ", ".join(f"{label} ({rows} rows)" for label, rows in list(missed.items())[:MAX_NAMED])
    more = f" and {len(missed) - MAX_NAMED} more" if len(missed) > MAX_NAMED else ""
    return AdviceEvent(
        rule="never-predicted",
        severity="warn",
        step=last.step,
        title="A label is never given" if len(missed) == 1 else f"{len(missed)} labels are never given",
        message=f"In the checks at steps {before.step:,} and {last.step:,} no validation row was sorted under {named}"
        f"{more}.",
        why="Where a label has few rows, never giving it costs little on average; for those rows it is always wrong.",
        action="Let rare labels count more" if not history.config.balance_labels else "Bring more rows of it.",
        actions=_actions(history),
    )


def _actions(history: RunHistory) -> tuple[Action, ...]:
    if not history.config.balance_labels:
        change = Action(
            kind="repeat", label="Run again with rare labels counting more", changes={"balance_labels": True}
        )
        return (change,)
    epochs = float(min(1000, 2 * history.config.epochs))
    return (Action(kind="repeat", label=f"Run again with {epochs:g} passes", changes={"epochs": epochs}),)


RULE = Rule("never-predicted", advise, unless=("rate-too-low", "rate-too-high", "underfitting"))
