"""Rows that have all they need and that nothing can be learned from: what they say is at odds with itself.

A task says which (`at_odds`), by the kind of one of these checks.
"""

from studio.data.checks.base import Check, Context, Seen
from studio.data.words import many
from studio.schema.dataset import Problem


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
        if not self.found:
            return []
        what = many(len(self.found), *self.found_in_words)
        return [self.problem("error", f"{what}.", f"{self.why} Such a row is counted and not trained on.",
                             "Leave them out")]  # fmt: skip


class EqualPair(AtOdds):
    kind = "equal-pair"
    found_in_words = (
        "row has two replies that are one and the same",
        "rows have two replies that are one and the same",
    )
    why = "Of two equal replies none is better."


class AnswerNotFound(AtOdds):
    kind = "answer-not-found"
    found_in_words = (
        "row has an answer that does not stand in its passage",
        "rows have answers that do not stand in their passages",
    )
    why = "A model that finds answers learns where they stand."
