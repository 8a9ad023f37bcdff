"""How rows are spread over labels: counted once, for the two checks that look at it."""

from array import array

from studio.data.checks.base import Check, Context, Seen


class LabelCounts(Check):
    """Rows and counts by label."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.numbers: dict[str, array[int]] = {}

    @classmethod
    def applies(cls, context: Context) -> bool:
        return bool(context.task.has_labels) and "label" in context.roles.values()

    def see(self, seen: Seen) -> None:
        label = seen.values["label"]
        if label not in self.numbers:
            self.numbers[label] = array("Q")
        self.numbers[label].append(seen.number)

    def ranking(self) -> list[tuple[str, int]]:
        """Labels with their rows, the most frequent first."""
        return sorted(((label, len(rows)) for label, rows in self.numbers.items()), key=lambda each: -each[1])

    @property
    def total(self) -> int:
        return sum(map(len, self.numbers.values()))
