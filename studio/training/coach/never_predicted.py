"""A label that no row is ever sorted under."""

from studio.schema.events import Action, AdviceEvent
from studio.training.coach.base import Rule, Seen

ROWS = 3
"""A label with fewer validation rows may be missed by chance."""
NAMED = 3


def look(seen: Seen) -> AdviceEvent | None:
    """Speak from half the run on, of labels missed in the last two checks."""
    if seen.share() < 0.5 or len(seen.tuned) < 2:
        return None
    last, before = seen.tuned[-1], seen.tuned[-2]
    missed = {label: rows for label, rows in last.missed.items() if rows >= ROWS and label in before.missed}
    if not missed:
        return None
    named = ", ".join(f"{label} ({rows} rows)" for label, rows in list(missed.items())[:NAMED])
    more = f" and {len(missed) - NAMED} more" if len(missed) > NAMED else ""
    return AdviceEvent(
        rule="never-predicted",
        severity="warn",
        step=last.step,
        title="A label is never given" if len(missed) == 1 else f"{len(missed)} labels are never given",
        message=f"In the checks at steps {before.step:,} and {last.step:,} no validation row was sorted under {named}"
        f"{more}.",
        why="Where a label has few rows, never giving it costs little on average; for those rows it is always wrong.",
        action="Let rare labels count more" if not seen.config.balance_labels else "Bring more rows of it.",
        actions=_ways(seen),
    )


def _ways(seen: Seen) -> tuple[Action, ...]:
    if not seen.config.balance_labels:
        change = Action(
            kind="repeat", label="Run again with rare labels counting more", changes={"balance_labels": True}
        )
        return (change,)
    passes = float(min(1000, 2 * seen.config.epochs))
    return (Action(kind="repeat", label=f"Run again with {passes:g} passes", changes={"epochs": passes}),)


RULE = Rule("never-predicted", look, unless=("rate-too-low", "rate-too-high", "underfitting"))
