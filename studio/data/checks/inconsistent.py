"""Rows that are complete but contradict themselves, so a model can't learn from them.

A task's `inconsistency` method returns the kind of one of these checks for such a row.
"""

from array import array
from collections.abc import Sequence

from studio.data.checks.base import SHOWN, Check, Context, RowView
from studio.schema.dataset import Problem, Severity
from studio.schema.numbers import plural
from studio.schema.spans import spans_of


class InconsistentRow(Check):
    """Base class of these checks."""

    unusable = True
    counted = ("", "")
    """The messages for one such row and for several."""
    why = ""

    @classmethod
    def applies(cls, context: Context) -> bool:
        return hasattr(context.task, "inconsistency")

    def visit(self, view: RowView) -> None:
        if not view.lacks and self.context.task.inconsistency(view.values) == self.kind:
            self.row_numbers.append(view.number)

    def problems(self) -> list[Problem]:
        return self._problems_for("error", self.row_numbers, self.why + " Training skips such rows.", self.counted)

    def _problems_for(
        self, severity: Severity, rows: Sequence[int], why: str, counted: tuple[str, str]
    ) -> list[Problem]:
        """Return the problem for these rows. Empty if there are no rows."""
        if not rows:
            return []
        facts = {"rows": tuple(rows[:SHOWN]), "every": spans_of(rows), "count": len(rows)}
        return [self.problem(severity, plural(len(rows), *counted), why, "Leave them out", **facts)]


class EqualPair(InconsistentRow):
    kind = "equal-pair"
    counted = ("{n} row has two equal replies.", "{n} rows have two equal replies.")
    why = "Neither of two equal replies is better."


class DifferentPrompts(InconsistentRow):
    kind = "different-prompts"
    counted = (
        "{n} row has two conversations that differ before their last reply.",
        "{n} rows have two conversations that differ before their last reply.",
    )
    why = "Two replies can only be compared if they follow the same messages."


class AnswerNotFound(InconsistentRow):
    """Rows whose answer is not in the passage.

    Rows that give the answer's position are inconsistent. Other rows only matter for extractive models. The model is
    not known here, so they stay usable and are reported.
    """

    kind = "answer-not-found"
    usable_too = True
    counted = (
        "{n} row has an answer that is not in its passage.",
        "{n} rows have answers that are not in their passages.",
    )
    counted_usable = (
        "{n} row has an answer that is not in its passage: an encoder skips such rows, "
        "a generative model learns from them.",
        "{n} rows have answers that are not in their passages: an encoder skips such rows, "
        "a generative model learns from them.",
    )
    why = "The row gives the position of the answer, but the passage does not contain it."

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.usable = array("Q")
        """Row numbers from which a generative model can still learn."""

    @classmethod
    def applies(cls, context: Context) -> bool:
        return hasattr(context.task, "answer_not_in_passage")

    def visit(self, view: RowView) -> None:
        if view.lacks or not self.context.task.answer_not_in_passage(view.values):
            return
        self.row_numbers.append(view.number)
        if not self.context.task.inconsistency(view.values):
            self.usable.append(view.number)

    def problems(self) -> list[Problem]:
        usable = frozenset(self.usable)
        unusable = [number for number in self.row_numbers if number not in usable]
        return [
            *self._problems_for("error", unusable, self.why + " Training skips such rows.", self.counted),
            *self._problems_for(
                "warning",
                self.usable,
                "An encoder marks the answer in the passage, so it must be there. A generative model can write it.",
                self.counted_usable,
            ),
        ]
