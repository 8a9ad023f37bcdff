"""One label in nearly all rows, or in all of them."""

from studio.data.checks.labels import LabelCounts
from studio.data.phrases import share
from studio.schema.dataset import Problem
from studio.schema.numbers import rows

DOMINANT = 0.8
"""Fraction of the rows from which one label dominates."""
DOMINANT_OF_MANY = 0.5
"""The same for three or more labels, if the label also has ten times the rows of the median label."""


class Imbalance(LabelCounts):
    kind = "imbalance"
    dominates = False

    def finish(self) -> None:
        ranking = self.ranking()
        if not ranking:
            return
        (label, most), rest = ranking[0], ranking[1:]
        middle = ranking[len(ranking) // 2][1]
        fraction = most / self.total
        self.dominates = not rest
        if not rest:
            self.row_numbers.extend(self.numbers[label])
        elif self.several:
            self.dominates = fraction > DOMINANT
            if self.dominates:  # keep rows that have other labels too
                more = max(0, most - rest[0][1])
                self.row_numbers.extend(self.alone.get(label, ())[-more:] if more else ())
        elif fraction > DOMINANT or (len(rest) > 1 and fraction > DOMINANT_OF_MANY and most >= 10 * middle):
            self.dominates = True
            self.row_numbers.extend(self.numbers[label][rest[0][1] :])

    def problems(self) -> list[Problem]:
        if not self.dominates:
            return []
        label, most = self.ranking()[0]
        if len(self.numbers) == 1:
            return [
                self.problem(
                    "error",
                    f"All {rows(most)} have the same label, {label}.",
                    "A classifier needs at least two labels.",
                    "",
                )
            ]
        fix = "Keep only as many rows of it as the next label has"
        if self.several:
            fix = "Remove rows that have no other label, until the next label is as frequent"
        return [
            self.problem(
                "warning",
                f"{share(most, self.total)} of the rows have the label {label}.",
                "A model that always gives this label would have a good score and be useless.",
                fix if self.row_numbers else "",
            )
        ]
