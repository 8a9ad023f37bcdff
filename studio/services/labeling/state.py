"""The state of labeling, computed from the stored facts: who gave which value to which row. No I/O.

Facts are applied one by one, so a key press costs the same on the last row as on the first. After an `undo` the state
is computed again without the fact that was undone.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from operator import attrgetter

from studio.schema.labeling import Fact, What, Work

MARKS: tuple[What, ...] = ("given", "skip", "unsure")
"""What a person can do to a row."""
Locate = Callable[[Fact], tuple[int | None, bool]]
"""Fact → its row in the current version (None: removed), and whether the row's cell has changed since."""


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
    marks: dict[What, defaultdict[str, dict[int, Fact]]] = field(init=False)
    """`given`, `skip` or `unsure` → labeler → row → their last fact about it, oldest first. Renamed labels are new."""
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
        self.marks = {what: defaultdict(dict) for what in MARKS}
        self._given: dict[int, dict[str, Fact]] = {}
        """Row → labeler → what is `given` in `marks`: a row is looked up without all people."""

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
        for what in MARKS:
            self.marks[what][fact.labeller].pop(row, None)
        self._given.get(row, {}).pop(fact.labeller, None)
        if fact.what != "given" or fact.value is not None:
            self.marks[fact.what][fact.labeller][row] = fact
        if fact.what == "given" and fact.value is not None:
            self._given.setdefault(row, {})[fact.labeller] = fact
        self.history.append((fact, row))
        if changed:
            self.outdated.add(fact.id)
        self._update(row)

    def _update(self, row: int) -> None:
        """Set the current value of a row, and the counts."""
        newest = next((fact for fact in reversed(self.given(row)) if fact.id not in self.outdated), None)
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
        for values in (self.initial, self.values):
            values.update({row: new for row, value in values.items() if value == old})
        for facts in self.marks["given"].values():
            renamed = [(row, fact) for row, fact in facts.items() if fact.value == old]
            for row, fact in renamed:
                facts[row] = self._given[row][fact.labeller] = fact.model_copy(update={"value": new})
        self.counts[new] += self.counts.pop(old, 0)
        for row in self.values:
            self._compare(row)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels: the named ones, then others that rows have."""
        return tuple(dict.fromkeys([*self.names, *sorted(name for name, rows in self.counts.items() if rows > 0)]))

    def given(self, row: int) -> list[Fact]:
        """Return the facts that give a row a value, one for each labeler, oldest first."""
        return sorted(self._given.get(row, {}).values(), key=attrgetter("id"))

    def last_action(self, labeler: str, version: int) -> list[tuple[Fact, int]]:
        """Return the facts of a person's last action about a version, newest first, and their rows.

        Facts of one action have the same time.
        """
        own = (each for each in reversed(self.history) if (each[0].labeller, each[0].version) == (labeler, version))
        newest = next(own, None)
        if newest is None:
            return []
        time = newest[0].time
        return [newest, *takewhile(lambda each: each[0].time == time, own)]

    def mark(self, row: int, labeler: str) -> Fact | None:
        """Return what a person last did to a row."""
        marked = (self.marked(what, labeler) for what in MARKS)
        return next((facts[row] for facts in marked if row in facts), None)

    def marked(self, what: What, labeler: str) -> Mapping[int, Fact]:
        """Return row → fact of what a person did. Empty, and nothing is added, for one who did nothing."""
        return self.marks[what].get(labeler, {})

    def is_open(self, row: int, labeler: str) -> bool:
        """Return whether a row has no value, and this person has not skipped it or marked it as unsure."""
        return row not in self.values and self.mark(row, labeler) is None

    def skipped(self, labeler: str) -> list[int]:
        """Return the rows without a value that a person skipped, oldest first."""
        return [row for row in self.marked("skip", labeler) if row not in self.values]

    def labelers(self) -> dict[str, int]:
        """Return labeler → number of rows that they gave a value."""
        return {labeler: len(facts) for labeler, facts in self.marks["given"].items() if facts}
