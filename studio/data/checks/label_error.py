"""Labels that are likely wrong. A classifier has judged them before; this check only reports the result."""

from array import array
from collections.abc import Mapping

from studio.data.checks.base import SHOWN, Check, Context, RowView
from studio.data.phrases import listed
from studio.schema.dataset import Problem
from studio.schema.label_quality import Suspect
from studio.schema.numbers import plural
from studio.schema.spans import spans_of

NAMED = 3


class LabelError(Check):
    kind = "label-error"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.row_numbers = array("Q", sorted(context.suspects or ()))

    @classmethod
    def applies(cls, context: Context) -> bool:
        return bool(context.task.has_labels) and context.suspects is not None

    @classmethod
    def lacking(cls, context: Context) -> str:
        if context.suspects is None and context.task.has_labels:
            return "Check the labels first: Find wrong labels on the page, or studio check --label-errors."
        return ""

    def visit(self, view: RowView) -> None:
        """Do nothing: the classifier has judged all rows together."""

    def problems(self) -> list[Problem]:
        problem = problem_of(self.context.suspects or {})
        return [problem] if problem else []


def problem_of(suspects: Mapping[int, Suspect]) -> Problem | None:
    """Return the problem for rows with a likely wrong label, or None if there are none."""
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
        message=plural(
            len(suspects), "{n} label is likely wrong: {rows}.", "{n} labels are likely wrong: {rows}.", rows=named
        ),
        why="The model learns wrong labels too, and they make scores look worse. A small classifier "
        "learned from the other rows and checked each label. It can be wrong, so look at these rows first.",
        fix="Remove these rows",
    )
