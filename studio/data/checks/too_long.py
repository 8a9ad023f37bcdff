"""Rows that are longer than the maximum length of the chosen model. The excess is truncated."""

from studio.data.checks.base import Check, Context, RowView
from studio.data.phrases import share
from studio.schema.numbers import plural, rows


class TooLong(Check):
    kind = "too-long"
    why = "The model never sees the truncated part. It may learn replies that end in the middle."
    fix = "Leave them out, or raise the maximum length"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.rows = self.cut = self.tokens = self.longest = 0

    @classmethod
    def applies(cls, context: Context) -> bool:
        return context.lengths is not None and context.max_length > 0 and bool(context.task.cuts)

    @classmethod
    def lacking(cls, context: Context) -> str:
        if context.lengths is None and context.task.cuts:
            return "Lengths in tokens depend on the model. Choose a model (--model)."
        return ""

    def words(self) -> str:
        return f"longer than {self.context.max_length:,} tokens"

    def visit(self, view: RowView) -> None:
        assert self.context.lengths is not None
        length = self.context.lengths.get(view.number)
        if length is None:  # lengths cover a sample only
            return
        self.rows += 1
        if length > self.context.max_length:
            self.row_numbers.append(view.number)
            self.tokens += length
            self.cut += length - self.context.max_length
            self.longest = max(self.longest, length)

    def message(self) -> str:
        assert self.context.lengths is not None
        count = len(self.row_numbers)
        facts = {
            "most": f"{self.context.max_length:,}",
            "share": share(count, self.rows),
            "longest": f"{self.longest:,}",
        }
        truncated = f"{share(self.cut, self.tokens)} of their tokens would be truncated at the end."
        if len(self.context.lengths) == len(self.context.table):
            longer = plural(
                count,
                "{n} row is longer than {most} tokens ({share} of the rows; the longest has {longest}).",
                "{n} rows are longer than {most} tokens ({share} of the rows; the longest has {longest}).",
                **facts,
            )
            return f"{longer} {truncated}"
        longer = plural(
            count,
            "In a sample of {rows}, {n} row is longer than {most} tokens ({share} of them; the longest has {longest}).",
            "In a sample of {rows}, {n} rows are longer than {most} tokens "
            "({share} of them; the longest has {longest}).",
            rows=rows(self.rows),
            **facts,
        )
        return f"{longer} {truncated}" + " All rows are counted before any are left out, or on request (--all-rows)."
