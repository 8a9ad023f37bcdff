"""The state of labeling, computed from the stored facts: who gave which value to which row. No I/O.

Facts are applied one by one, so a key press costs the same on the last row as on the first. After an `undo` the state
is computed anew without the fact that was undone.
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
    initial: dict[int, str] = field(init=False)
    """The same, with the new names of renamed labels."""
    values: dict[int, str] = field(init=False)
    """Row → current value: the newest that anyone gave, else the initial one."""
    counts: Counter[str] = field(init=False)
    """Value → number of rows."""
    marks: dict[int, dict[str, Fact]] = field(default_factory=dict)
    """Row → labeler → their last fact about it, with the new names of renamed labels."""
    names: dict[str, None] = field(default_factory=dict)
    """Labels that a person named, in order."""
    history: list[tuple[Fact, int]] = field(default_factory=list)
    """Facts about rows, oldest first, and their rows in this version."""
    outdated: set[int] = field(default_factory=set)
    """Ids of facts about cells that were changed in a later version."""
    renamed: bool = False
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
        self.renamed = True
        self.names = dict.fromkeys(new if name == old else name for name in (*self.names, new))
        for labels in (self.initial, self.values):
            labels.update({row: new for row, label in labels.items() if label == old})
        for marks in self.marks.values():
            for labeler, fact in marks.items():
                if fact.what == "given" and fact.value == old:
                    marks[labeler] = fact.model_copy(update={"value": new})
        self.counts[new] += self.counts.pop(old, 0)

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
        facts = [
            (fact.id, row)
            for row, marks in self.marks.items()
            if (fact := marks.get(labeler)) and fact.what == what and (what == "unsure" or row not in self.values)
        ]
        return [row for _, row in sorted(facts)]

    def given_by(self, labeler: str) -> dict[int, str]:
        """Return row → value that a person gave it."""
        facts = ((row, marks.get(labeler)) for row, marks in self.marks.items())
        return {row: fact.value for row, fact in facts if fact and fact.what == "given" and fact.value is not None}

    def labelers(self) -> dict[str, int]:
        """Return labeler → number of rows that they gave a value."""
        return dict(
            Counter(fact.labeller for marks in self.marks.values() for fact in filter(is_value, marks.values()))
        )

    def changes(self, unlabeled: str | None) -> dict[int, str]:
        """Return row → current value, where the dataset has another one. `unlabeled`: the value of an empty cell."""
        rows = self.values if self.renamed else self.marks  # without a rename, only marked rows can differ
        return {
            row: self.values[row]
            for row in rows
            if row in self.values and self.original.get(row, unlabeled) != self.values[row]
        }


def _id(fact: Fact) -> int:
    return fact.id
