"""How rows are spread over labels, one a row or several: counted once, for the checks that look at it."""

from array import array
from typing import Any

from studio.data.checks.base import Check, Context, Seen


def labels_of_row(values: dict[str, Any]) -> tuple[str, ...]:
    """The label of a row, or its several labels, each once and in order."""
    if "labels" in values:
        return tuple(sorted(set(values["labels"] or ())))
    return (values["label"],) if values.get("label") else ()


def without_labels(values: dict[str, Any]) -> dict[str, Any]:
    """What a row says, its labels aside."""
    return {role: value for role, value in values.items() if role not in ("label", "labels")}


class _Spread:
    """Rows and counts by label, of one pass."""

    def __init__(self) -> None:
        self.numbers: dict[str, array[int]] = {}
        self.alone: dict[str, array[int]] = {}
        """Of several labels: rows that have this one and no other."""
        self.total = 0


class LabelCounts(Check):
    """A check that looks at how rows are spread over labels; the first one of a pass counts for all."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.several = "labels" in context.roles.values()
        self._counts = "labels" not in context.shared
        self._spread: _Spread = context.shared.setdefault("labels", _Spread())
        self.numbers, self.alone = self._spread.numbers, self._spread.alone

    @property
    def total(self) -> int:
        """Rows that were seen."""
        return self._spread.total

    @classmethod
    def applies(cls, context: Context) -> bool:
        return bool(context.task.has_labels) and bool({"label", "labels"} & set(context.roles.values()))

    def see(self, seen: Seen) -> None:
        if not self._counts:
            return
        labels = labels_of_row(seen.values)
        self._spread.total += 1
        for label in labels:
            if label not in self.numbers:
                self.numbers[label] = array("Q")
            self.numbers[label].append(seen.number)
        if self.several and len(labels) == 1:
            self.alone.setdefault(labels[0], array("Q")).append(seen.number)

    def ranking(self) -> list[tuple[str, int]]:
        """Labels with their rows, the most frequent first."""
        return sorted(((label, len(rows)) for label, rows in self.numbers.items()), key=lambda each: -each[1])
