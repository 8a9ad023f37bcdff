"""Replies with a weight other than 0 and 1, such as `loss_weight` 0.5. The trainers know only 0 and 1."""

from studio.data.checks.base import Check, Context, RowView, messages_in
from studio.schema.dataset import Problem
from studio.schema.numbers import plural


class FractionalWeight(Check):
    kind = "fractional-weight"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.example = ""

    @classmethod
    def applies(cls, context: Context) -> bool:
        return "messages" in context.roles.values()

    def visit(self, view: RowView) -> None:
        weights = [message.get("weight", 1) for message in messages_in(view.values.get("messages"))]
        other = next((weight for weight in weights if weight not in (0, 1)), None)
        if other is not None:
            self.row_numbers.append(view.number)
            self.example = self.example or f"Row {view.number:,} has {other:g}."

    def problems(self) -> list[Problem]:
        if not self.row_numbers:
            return []
        message = plural(
            len(self.row_numbers),
            "{n} row has a message with a weight other than 0 and 1.",
            "{n} rows have messages with a weight other than 0 and 1.",
        )
        return [
            self.problem(
                "warning",
                " ".join((message, self.example, "Expected: 0 (not trained on) or 1.")),
                "Training treats every weight above 0 as 1. To skip a message, set its weight to 0.",
                "Leave them out",
            )
        ]
