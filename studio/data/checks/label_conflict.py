"""The same text under different labels: at most one of them is right."""

from array import array

from studio.data.checks.base import Check, Context, Seen
from studio.data.checks.duplicate import key_of
from studio.data.checks.labels import labels_of_row, without_labels
from studio.data.phrases import many
from studio.schema.dataset import Problem


class LabelConflict(Check):
    kind = "label-conflict"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.labels: dict[tuple[str, ...], int] = {}
        self.numbers, self.texts, self.given = array("Q"), array("q"), array("L")
        self.count = 0

    @classmethod
    def applies(cls, context: Context) -> bool:
        return bool(context.task.has_labels) and bool({"label", "labels"} & set(context.roles.values()))

    def see(self, seen: Seen) -> None:
        self.numbers.append(seen.number)
        self.texts.append(key_of(without_labels(seen.values)))
        self.given.append(self.labels.setdefault(labels_of_row(seen.values), len(self.labels)))

    def finish(self) -> None:
        first: dict[int, int] = {}
        torn: set[int] = set()
        for text, label in zip(self.texts, self.given, strict=True):
            if first.setdefault(text, label) != label:
                torn.add(text)
        if torn:
            self.found.extend(number for number, text in zip(self.numbers, self.texts, strict=True) if text in torn)
        self.count = len(torn)

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        return [
            self.problem(
                "warning",
                f"{many(self.count, 'text stands', 'texts stand')} under different labels, in "
                f"{many(len(self.found), 'row')}.",
                "At most one of the labels is right, and the model can't learn both.",
                "Leave these rows out",
            )
        ]
