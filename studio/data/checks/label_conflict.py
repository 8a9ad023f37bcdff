"""The same text with different labels. At most one of them is right."""

from array import array

from studio.data.checks.base import Check, Context, RowView
from studio.data.checks.duplicate import key_of
from studio.data.checks.labels import labels_of_row, without_labels
from studio.schema.numbers import plural, rows


class LabelConflict(Check):
    kind = "label-conflict"
    why = "At most one of the labels can be right, and the model can't learn both."
    fix = "Leave these rows out"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.labels: dict[tuple[str, ...], int] = {}
        self.numbers, self.texts, self.label_ids = array("Q"), array("q"), array("L")
        self.count = 0

    @classmethod
    def applies(cls, context: Context) -> bool:
        return bool(context.task.has_labels) and bool({"label", "labels"} & set(context.roles.values()))

    def visit(self, view: RowView) -> None:
        self.numbers.append(view.number)
        self.texts.append(key_of(without_labels(view.values)))
        self.label_ids.append(self.labels.setdefault(labels_of_row(view.values), len(self.labels)))

    def finish(self) -> None:
        first: dict[int, int] = {}
        conflicting: set[int] = set()
        for text, label in zip(self.texts, self.label_ids, strict=True):
            if first.setdefault(text, label) != label:
                conflicting.add(text)
        if conflicting:
            self.row_numbers.extend(
                number for number, text in zip(self.numbers, self.texts, strict=True) if text in conflicting
            )
        self.count = len(conflicting)

    def message(self) -> str:
        return plural(
            self.count,
            "{n} text has different labels, in {rows}.",
            "{n} texts have different labels, in {rows}.",
            rows=rows(len(self.row_numbers)),
        )
