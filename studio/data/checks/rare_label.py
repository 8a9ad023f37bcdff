"""Labels with too few rows to learn and test, and labels that differ only in case or spaces."""

import json
from typing import Any

from studio.data.checks.base import Context
from studio.data.checks.labels import LabelCounts
from studio.data.columns import SEPARATORS
from studio.data.phrases import listed
from studio.data.table import Row
from studio.data.values import label_name
from studio.schema.dataset import Problem
from studio.schema.numbers import plural, rows

FEW = 5
FEW_IN_A_SMALL_SET = 2
SMALL_SET = 50
NAMED = 5


class RareLabel(LabelCounts):
    kind = "rare-label"
    changed = "{rows} given the most frequent spelling of their label"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.better: dict[str, str] = {}
        """Label → its most frequent spelling."""
        self.rare: list[tuple[str, int]] = []
        """Labels with too few rows in all spellings together, the rarest first."""

    def finish(self) -> None:
        self.better = _spellings(self.ranking())
        counts: dict[str, int] = {}
        for label, count in self.ranking():
            usual = self.better.get(label, label)
            counts[usual] = counts.get(usual, 0) + count
        least = FEW if self.total >= SMALL_SET else FEW_IN_A_SMALL_SET
        if len(counts) > 1:
            few = [(label, count) for label, count in counts.items() if count < least]
            self.rare = sorted(reversed(few), key=lambda each: each[1])
        rare = {label for label, _ in self.rare}
        concerned = [label for label in self.numbers if label in self.better or label in rare]
        self.row_numbers.extend(sorted({number for label in concerned for number in self.numbers[label]}))

    def fixed_cells(self, number: int, row: Row) -> dict[str, Any]:
        if self.several:
            return self._fixed_cells_of_several(row)
        column = self.context.column_of("label")
        usual = self.better.get(label_name(row[column]))
        return {column: usual} if usual else {}

    def _fixed_cells_of_several(self, row: Row) -> dict[str, Any]:
        """Return the cell with the usual spellings, in its original form: a list, JSON, or separated names."""
        column = self.context.column_of("labels")
        labels, cell = self.context.task.values(row, self.context.roles)["labels"], row[column]
        if not self.better.keys() & set(labels):
            return {}
        usual = list(dict.fromkeys(self.better.get(label, label) for label in labels))
        if isinstance(cell, str):
            if cell.lstrip().startswith("["):
                return {column: json.dumps(usual, ensure_ascii=False)}
            sign = next((sign for sign in SEPARATORS if sign in cell), ",")
            return {column: (f"{sign} " if f"{sign} " in cell else sign).join(usual)}
        return {column: usual}

    def problems(self) -> list[Problem]:
        if not self.row_numbers:
            return []
        parts, why, fix = [], [], ""
        if self.better:
            pairs = listed(map(listed, self.better.items()), NAMED)
            parts.append(
                plural(
                    len(self.better),
                    "{n} label differs from another only in case or spaces: {pairs}.",
                    "{n} labels differ from another only in case or spaces: {pairs}.",
                    pairs=pairs,
                )
            )
            why.append("The model would treat the spellings as different labels.")
            fix = "Merge the spellings"
        if self.rare:
            named = listed((f"{label} ({rows(count)})" for label, count in self.rare), NAMED)
            parts.append(
                plural(
                    len(self.rare),
                    "{n} label has very few rows: {labels}.",
                    "{n} labels have very few rows: {labels}.",
                    labels=named,
                )
            )
            why.append("A label needs several rows for training, and more for validation and test.")
            fix = "Merge the spellings, and remove the rows of the rare labels" if fix else "Leave these rows out"
        return [self.problem("warning", " ".join(parts), " ".join(why), fix)]


def _spellings(ranking: list[tuple[str, int]]) -> dict[str, str]:
    """Return label → most frequent label that differs only in case and spaces. Single letters are not merged."""
    usual: dict[str, str] = {}
    better = {}
    for label, _ in ranking:
        key = "".join(label.casefold().split())
        if len(key) > 1 and usual.setdefault(key, label) != label:
            better[label] = usual[key]
    return better
