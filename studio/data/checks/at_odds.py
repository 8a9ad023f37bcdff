"""Rows that have all they need and that nothing can be learned from: what they say is at odds with itself.

A task says which (`at_odds`), by the kind of one of these checks.
"""

from array import array
from collections.abc import Sequence

from studio.data.checks.base import SHOWN, Check, Context, Seen
from studio.data.phrases import many
from studio.schema.dataset import Problem, Severity
from studio.schema.spans import spans_of


class AtOdds(Check):
    """The base of such checks."""

    unusable = True
    found_in_words = ("", "")
    """What such a row, and what such rows are."""
    why = ""

    @classmethod
    def applies(cls, context: Context) -> bool:
        return hasattr(context.task, "at_odds")

    def see(self, seen: Seen) -> None:
        if not seen.lacks and self.context.task.at_odds(seen.values) == self.kind:
            self.found.append(seen.number)

    def problems(self) -> list[Problem]:
        return self.told("error", self.found, f"{self.why} Such a row is counted and not trained on.")

    def told(self, severity: Severity, rows: Sequence[int], why: str, so: str = "") -> list[Problem]:
        """The problem of these rows, and what follows; none where there are none."""
        if not rows:
            return []
        facts = {"rows": tuple(rows[:SHOWN]), "every": spans_of(rows), "count": len(rows)}
        return [self.problem(severity, f"{many(len(rows), *self.found_in_words)}{so}.", why, "Leave them out", **facts)]


class EqualPair(AtOdds):
    kind = "equal-pair"
    found_in_words = (
        "row has two replies that are one and the same",
        "rows have two replies that are one and the same",
    )
    why = "Of two equal replies none is better."


class AnswerNotFound(AtOdds):
    """Rows that say where an answer begins are at odds with themselves. Others are only where a model points, and
    which model will learn is not known here: they stay usable, and are named."""

    kind = "answer-not-found"
    usable_too = True
    found_in_words = (
        "row has an answer that does not stand in its passage",
        "rows have answers that do not stand in their passages",
    )
    why = "It says where the answer begins, and the passage does not hold it."

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.usable = array("Q")
        """Those of the rows found that a model that writes can learn from."""

    @classmethod
    def applies(cls, context: Context) -> bool:
        return hasattr(context.task, "points_nowhere")

    def see(self, seen: Seen) -> None:
        if seen.lacks or not self.context.task.points_nowhere(seen.values):
            return
        self.found.append(seen.number)
        if not self.context.task.at_odds(seen.values):
            self.usable.append(seen.number)

    def problems(self) -> list[Problem]:
        usable = frozenset(self.usable)
        at_odds = [number for number in self.found if number not in usable]
        return [
            *self.told("error", at_odds, f"{self.why} Such a row is counted and not trained on."),
            *self.told(
                "warning",
                self.usable,
                "A model that reads points at the answer, so it must be there. For one that writes this is no fault.",
                ": a model that reads learns nothing there, one that writes does",
            ),
        ]
