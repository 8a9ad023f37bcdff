"""Labels with too few rows, typos of frequent labels, and labels that differ only in case or spaces."""

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
FIXES = {
    (True, False, False): "Merge the spellings",
    (False, True, False): "Rename them to the frequent label",
    (False, False, True): "Leave these rows out",
    (True, True, False): "Merge the spellings and the typos",
    (True, False, True): "Merge the spellings, and remove the rows of the rare labels",
    (False, True, True): "Rename the typos, and remove the rows of the rare labels",
    (True, True, True): "Merge the spellings and the typos, and remove the rows of the rare labels",
}
"""Whether there are spellings, typos and rare labels → what the fix does."""
TYPO_LETTERS = 5
"""Minimum letters of a word for a label with one letter more, less or different to count as a typo."""


class RareLabel(LabelCounts):
    kind = "rare-label"
    changed = "{rows} given the frequent spelling of their label"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.better: dict[str, str] = {}
        """Label → its most frequent spelling."""
        self.typos: dict[str, str] = {}
        """Label with too few rows → the frequent label that it is likely a typo of."""
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
            frequent = [label for label, count in counts.items() if count >= least]
            self.typos = {label: usual for label, _ in few if (usual := _correct_label(label, frequent))}
            self.rare = sorted((each for each in reversed(few) if each[0] not in self.typos), key=lambda each: each[1])
        self.renamed = self.typos | {label: self.typos.get(usual, usual) for label, usual in self.better.items()}
        rare = {label for label, _ in self.rare}
        concerned = [label for label in self.numbers if label in self.renamed or label in rare]
        self.row_numbers.extend(sorted({number for label in concerned for number in self.numbers[label]}))

    def fixed_cells(self, number: int, row: Row) -> dict[str, Any]:
        if self.several:
            return self._fixed_cells_of_several(row)
        column = self.context.column_of("label")
        usual = self.renamed.get(label_name(row[column]))
        return {column: usual} if usual else {}

    def _fixed_cells_of_several(self, row: Row) -> dict[str, Any]:
        """Return the cell with the usual spellings, in its original form: a list, JSON, or separated names."""
        column = self.context.column_of("labels")
        labels, cell = self.context.task.values(row, self.context.roles)["labels"], row[column]
        if not self.renamed.keys() & set(labels):
            return {}
        usual = list(dict.fromkeys(self.renamed.get(label, label) for label in labels))
        if isinstance(cell, str):
            if cell.lstrip().startswith("["):
                return {column: json.dumps(usual, ensure_ascii=False)}
            sign = next((sign for sign in SEPARATORS if sign in cell), ",")
            return {column: (f"{sign} " if f"{sign} " in cell else sign).join(usual)}
        return {column: usual}

    def problems(self) -> list[Problem]:
        if not self.row_numbers:
            return []
        parts, why = [], []
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
        if self.typos:
            parts.append(
                plural(
                    len(self.typos),
                    "{n} label looks like a typo of a more frequent one: {pairs}.",
                    "{n} labels look like typos of more frequent ones: {pairs}.",
                    pairs=listed(map(listed, self.typos.items()), NAMED),
                )
            )
            why.append("The model would learn the typo as a label of its own.")
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
        fix = FIXES[bool(self.better), bool(self.typos), bool(self.rare)]
        return [self.problem("warning", " ".join(parts), " ".join(why), fix)]


def _correct_label(label: str, frequent: list[str]) -> str:
    """Return the frequent label that a rare one is likely a typo of, or "".

    Exactly one word differs, in one letter or in two swapped ones. It is long, begins with the same letter and has no
    digit, because "level 1" and "level 2", or "typical" and "atypical", are different labels.
    """
    words = label.casefold().split()
    for usual in frequent:
        others = usual.casefold().split()
        if len(words) != len(others):
            continue
        pairs = [pair for pair in zip(words, others, strict=True) if pair[0] != pair[1]]
        if len(pairs) == 1 and _is_typo(*pairs[0]):
            return usual
    return ""


def _is_typo(word: str, other: str) -> bool:
    if min(len(word), len(other)) < TYPO_LETTERS or word[0] != other[0] or not (word.isalpha() and other.isalpha()):
        return False
    start = next((place for place, (a, b) in enumerate(zip(word, other, strict=False)) if a != b), None)
    if start is None:
        return abs(len(word) - len(other)) == 1
    swapped = word[start + 1 : start + 2] + word[start] + word[start + 2 :]
    changes = (
        (word[start + 1 :], other[start + 1 :]),
        (word[start:], other[start + 1 :]),
        (word[start + 1 :], other[start:]),
    )
    return swapped == other[start:] or any(one == two for one, two in changes)


def _spellings(ranking: list[tuple[str, int]]) -> dict[str, str]:
    """Return label → most frequent label that differs only in case and spaces. Single letters are not merged."""
    usual: dict[str, str] = {}
    better = {}
    for label, _ in ranking:
        key = "".join(label.casefold().split())
        if len(key) > 1 and usual.setdefault(key, label) != label:
            better[label] = usual[key]
    return better
