"""How many rows each label has. One pass counts once, for all checks that need it."""

from array import array
from typing import Any

from studio.data.checks.base import Check, Context, RowView


def labels_of_row(values: dict[str, Any]) -> tuple[str, ...]:
    """Return the label of a row, or its several labels, sorted and without duplicates."""
    if "labels" in values:
        return tuple(sorted(set(values["labels"] or ())))
    return (values["label"],) if values.get("label") else ()


def without_labels(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a row without its labels."""
    return {role: value for role, value in values.items() if role not in ("label", "labels", "score")}


class _LabelRows:
    """Rows of one pass by label."""

    def __init__(self) -> None:
        self.numbers: dict[str, array[int]] = {}
        self.alone: dict[str, array[int]] = {}
        """With several labels per row: rows that have this label and no other."""
        self.total = 0


class LabelCounts(Check):
    """Base class of checks on the label distribution. The first one of a pass counts for all."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.several = "labels" in context.roles.values()
        self._counts = "labels" not in context.shared
        self._rows: _LabelRows = context.shared.setdefault("labels", _LabelRows())
        self.numbers, self.alone = self._rows.numbers, self._rows.alone

    @property
    def total(self) -> int:
        """Number of rows counted."""
        return self._rows.total

    @classmethod
    def applies(cls, context: Context) -> bool:
        return bool(context.task.has_labels) and bool({"label", "labels"} & set(context.roles.values()))

    def visit(self, view: RowView) -> None:
        if not self._counts:
            return
        labels = labels_of_row(view.values)
        self._rows.total += 1
        for label in labels:
            if label not in self.numbers:
                self.numbers[label] = array("Q")
            self.numbers[label].append(view.number)
        if self.several and len(labels) == 1:
            self.alone.setdefault(labels[0], array("Q")).append(view.number)

    def ranking(self) -> list[tuple[str, int]]:
        """Return labels with their number of rows, the most frequent first."""
        return sorted(((label, len(rows)) for label, rows in self.numbers.items()), key=lambda each: -each[1])
