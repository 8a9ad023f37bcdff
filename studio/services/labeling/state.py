"""The state of labeling, computed from the stored facts: who gave which value to which row. No I/O.

Facts are applied one by one, so a key press costs the same on the last row as on the first. After an `undo` the state
is computed again without the fact that was undone.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from studio.schema.labeling import Fact, Work

Locate = Callable[[Fact], tuple[int | None, bool]]
"""Fact → its row in the current version (None: removed), and whether the row's cell has changed since."""


def is_value(fact: Fact) -> bool:
    """Return whether a person gave the row a value with this fact."""
    return fact.what == "given" and fact.value is not None


@dataclass(eq=False)
class LabelingState:
    """State of one version of a dataset, for one kind of value."""

    total: int
    work: Work = "label"
    original: Mapping[int, str] = field(default_factory=dict)
    """Row → value in the dataset."""
    unlabeled: str | None = None
    """The value that an empty cell stands for."""
    initial: dict[int, str] = field(init=False)
    """The same, with the new names of renamed labels."""
    values: dict[int, str] = field(init=False)
    """Row → current value: the newest that anyone gave, else the initial one."""
    counts: Counter[str] = field(init=False)
    """Value → number of rows."""
    marks: dict[int, dict[str, Fact]] = field(default_factory=dict)
    """Row → labeler → their last fact about it, with the new names of renamed labels."""
    by_labeler: dict[str, dict[int, str]] = field(default_factory=dict)
    """Labeler → row → value that they gave."""
    aside: dict[str, dict[int, str]] = field(default_factory=dict)
    """Labeler → row → `skip` or `unsure`, oldest first."""
    changed: set[int] = field(default_factory=set)
    """Rows with another value than in the dataset."""
    names: dict[str, None] = field(default_factory=dict)
    """Labels that a person named, in order."""
    history: list[tuple[Fact, int]] = field(default_factory=list)
    """Facts about rows, oldest first, and their rows in this version."""
    outdated: set[int] = field(default_factory=set)
    """Ids of facts about cells that were changed in a later version."""
    last: int = 0
    """Id of the last fact that was applied."""

    def __post_init__(self) -> None:
        self.initial, self.values = dict(self.original), dict(self.original)
        self.counts = Counter(self.original.values())

    def apply(self, facts: Iterable[Fact], locate: Locate = lambda fact: (fact.row, False)) -> None:
        """Apply facts, oldest first. Facts that one of them undoes are left out."""
        facts = list(facts)
        undone = {fact.undoes for fact in facts if fact.what == "undo"}
        for fact in facts:
            self.last = max(self.last, fact.id)
            if fact.work != self.work or fact.what == "undo" or fact.id in undone:
                continue
            if fact.row:
                row, changed = locate(fact)
                if row is not None:
                    self._mark(fact, row, changed)
            else:
                self._change_names(fact)

    def _mark(self, fact: Fact, row: int, changed: bool) -> None:
        self.marks.setdefault(row, {})[fact.labeller] = fact
        values, aside = self.by_labeler.setdefault(fact.labeller, {}), self.aside.setdefault(fact.labeller, {})
        values.pop(row, None)
        aside.pop(row, None)
        if fact.what != "given":
            aside[row] = fact.what
        elif fact.value is not None:
            values[row] = fact.value
        self.history.append((fact, row))
        if changed:
            self.outdated.add(fact.id)
        self._update(row)

    def _update(self, row: int) -> None:
        """Set the current value of a row, and the counts."""
        newest = max((fact for fact in self.given(row) if fact.id not in self.outdated), key=_id, default=None)
        before, value = self.values.get(row), newest.value if newest else self.initial.get(row)
        if before == value:
            return
        if before is not None:
            self.counts[before] -= 1
        if value is None:
            del self.values[row]
        else:
            self.values[row] = value
            self.counts[value] += 1
        self._compare(row)

    def _compare(self, row: int) -> None:
        value = self.values.get(row)
        differs = value is not None and value != self.original.get(row, self.unlabeled)
        (self.changed.add if differs else self.changed.discard)(row)

    def _change_names(self, fact: Fact) -> None:
        value = fact.value or ""
        if fact.what == "names":
            self.names = dict.fromkeys(json.loads(value))
        elif fact.what == "add":
            self.names.setdefault(value)
        elif fact.what == "remove":
            self.names.pop(value, None)
        elif fact.what == "rename":
            self._rename(*json.loads(value))

    def _rename(self, old: str, new: str) -> None:
        self.names = dict.fromkeys(new if name == old else name for name in (*self.names, new))
        for labels in (self.initial, self.values, *self.by_labeler.values()):
            labels.update({row: new for row, label in labels.items() if label == old})
        for marks in self.marks.values():
            for labeler, fact in marks.items():
                if fact.what == "given" and fact.value == old:
                    marks[labeler] = fact.model_copy(update={"value": new})
        self.counts[new] += self.counts.pop(old, 0)
        for row in self.values:
            self._compare(row)

    # --- queries ---

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels: the named ones, then others that rows have."""
        return tuple(dict.fromkeys([*self.names, *sorted(name for name, rows in self.counts.items() if rows > 0)]))

    def given(self, row: int) -> Iterator[Fact]:
        """Yield the facts that give a row a value, one for each labeler."""
        return filter(is_value, self.marks.get(row, {}).values())

    def mark(self, row: int, labeler: str) -> Fact | None:
        """Return what a person last did to a row."""
        fact = self.marks.get(row, {}).get(labeler)
        return None if fact is None or (fact.what == "given" and fact.value is None) else fact

    def is_open(self, row: int, labeler: str) -> bool:
        """Return whether a row has no value, and this person has not skipped it or marked it as unsure."""
        return row not in self.values and self.mark(row, labeler) is None

    def marked(self, what: str, labeler: str) -> list[int]:
        """Return the rows that a person skipped or is unsure of, oldest first. Omit skipped rows with a value."""
        marks = self.aside.get(labeler, {}).items()
        return [row for row, mark in marks if mark == what and (what == "unsure" or row not in self.values)]

    def labelers(self) -> dict[str, int]:
        """Return labeler → number of rows that they gave a value."""
        return {labeler: len(values) for labeler, values in self.by_labeler.items() if values}


def _id(fact: Fact) -> int:
    return fact.id
