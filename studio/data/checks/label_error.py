"""Labels that are likely wrong, as a classifier judged that was asked for it; here its judgement is only told."""

from array import array
from collections.abc import Mapping

from studio.data.checks.base import SHOWN, Check, Context, Seen
from studio.data.phrases import listed, many
from studio.schema.dataset import Problem
from studio.schema.label_quality import Suspect
from studio.schema.spans import spans_of

NAMED = 3


class LabelError(Check):
    kind = "label-error"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.found = array("Q", sorted(context.suspects or ()))

    @classmethod
    def applies(cls, context: Context) -> bool:
        return bool(context.task.has_labels) and context.suspects is not None

    @classmethod
    def lacking(cls, context: Context) -> str:
        if context.suspects is None and context.task.has_labels:
            return "Have the labels judged first: Look for wrong labels, or studio check --label-errors."
        return ""

    def see(self, seen: Seen) -> None:
        """Nothing: the rows of a version were judged together, when somebody asked for it."""

    def problems(self) -> list[Problem]:
        found = problem_of(self.context.suspects or {})
        return [found] if found else []


def problem_of(suspects: Mapping[int, Suspect]) -> Problem | None:
    """What is told of rows whose label is likely wrong."""
    if not suspects:
        return None
    surest = sorted(suspects, key=lambda number: -suspects[number].chance)
    named = listed(
        (f"row {number:,}: {suspects[number].label}, more like {suspects[number].likelier}" for number in surest),
        NAMED,
    )
    return Problem(
        kind=LabelError.kind,
        severity="warning",
        rows=tuple(sorted(suspects)[:SHOWN]),
        every=spans_of(suspects),
        count=len(suspects),
        message=f"{many(len(suspects), 'label is', 'labels are')} likely wrong: {named}.",
        why="A wrong label teaches the wrong thing, and makes scores look worse than they are. A small classifier "
        "judged each row, having learned from the others: look at them first.",
        fix="Remove these rows",
    )
