"""Rows that are longer than the limit for the chosen model: what is beyond it is cut."""

from studio.data.checks.base import Check, Context, Seen
from studio.data.words import many, share
from studio.schema.dataset import Problem


class TooLong(Check):
    kind = "too-long"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.rows = self.cut = self.tokens = self.longest = 0

    @classmethod
    def applies(cls, context: Context) -> bool:
        return context.lengths is not None and context.max_length > 0 and bool(context.task.cuts)

    def see(self, seen: Seen) -> None:
        assert self.context.lengths is not None
        length = self.context.lengths.get(seen.number, 0)
        self.rows += 1
        if length > self.context.max_length:
            self.found.append(seen.number)
            self.tokens += length
            self.cut += length - self.context.max_length
            self.longest = max(self.longest, length)

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        return [
            self.problem(
                "warning",
                f"{many(len(self.found), 'row is', 'rows are')} longer than {self.context.max_length:,} tokens "
                f"({share(len(self.found), self.rows)} of the rows; the longest has {self.longest:,}). "
                f"{share(self.cut, self.tokens)} of their tokens are cut off at the end.",
                "What is cut is not learned: a reply then ends in the middle.",
                "Leave them out, or allow longer rows",
            )
        ]
