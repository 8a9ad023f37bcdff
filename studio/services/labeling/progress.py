"""How labelling stands, worked out from the facts: who gave what to which row. No I/O; knows no page and no order.

Facts are taken one after the other, so that a key press costs the same on the last row as on the first. What an
`undo` names is as if it had never been; since it may be a change of names, the board is then made anew.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from studio.schema.labeling import Fact, Work

Place = Callable[[Fact], int | None]
"""The row of the current version that a fact is about; None when that row is gone."""
Stale = Callable[[Fact, int], bool]
"""Whether the cell of a row was written anew since a fact about it."""


@dataclass(frozen=True)
class Mark:
    """What a person last did to a row."""

    fact: int
    what: str
    value: str | None
    stale: bool = False
    """The row's cell was written anew in a later version: what stands there is newer."""


@dataclass
class LabelingProgress:
    """One dataset's version, for one kind of work."""

    total: int
    work: Work = "label"
    brought: dict[int, str] = field(default_factory=dict)
    """Row → what it came with."""
    final: dict[int, str] = field(default_factory=dict)
    """Row → what stands: what was given last by anybody, else what it came with."""
    marks: dict[int, dict[str, Mark]] = field(default_factory=dict)
    """Row → labeller → what they last did to it."""
    counts: Counter[str] = field(default_factory=Counter)
    names: dict[str, None] = field(default_factory=dict)
    """Labels that were named, in their order, whether any row has them or not."""
    history: list[tuple[Fact, int]] = field(default_factory=list)
    """Facts about rows that count, with their row in this version, oldest first."""
    renamed: bool = False
    """Whether a label has another name than it came with."""
    last: int = 0

    def __post_init__(self) -> None:
        self.final.update(self.brought)
        self.counts.update(self.brought.values())

    def take(
        self,
        facts: Iterable[Fact],
        place: Place,
        undone: frozenset[int] = frozenset(),
        stale: Stale = lambda fact, row: False,
    ) -> None:
        """Take facts in, oldest first; those of another kind of work, and those taken back, are passed over."""
        for fact in facts:
            self.last = max(self.last, fact.id)
            if fact.work != self.work or fact.id in undone or fact.what == "undo":
                continue
            if fact.row:
                row = place(fact)
                if row is not None:
                    self._mark(fact, row, stale(fact, row))
            else:
                _NAMING[fact.what](self, fact.value or "")

    def _mark(self, fact: Fact, row: int, stale: bool) -> None:
        self.marks.setdefault(row, {})[fact.labeller] = Mark(fact.id, fact.what, fact.value, stale)
        self.history.append((fact, row))
        self._settle(row)

    def _settle(self, row: int) -> None:
        """What stands in a row: the newest that anybody gave."""
        marks = self.marks.get(row, {}).values()
        given = [mark for mark in marks if mark.what == "given" and mark.value is not None and not mark.stale]
        value = max(given, key=lambda mark: mark.fact).value if given else self.brought.get(row)
        before = self.final.get(row)
        if before == value:
            return
        if before is not None:
            self.counts[before] -= 1
        if value is None:
            del self.final[row]
        else:
            self.final[row] = value
            self.counts[value] += 1

    def _all_names(self, value: str) -> None:
        self.names = dict.fromkeys(json.loads(value))

    def _add(self, value: str) -> None:
        self.names.setdefault(value)

    def _remove(self, value: str) -> None:
        self.names.pop(value, None)

    def _rename(self, value: str) -> None:
        old, new = json.loads(value)
        self.renamed = True
        self.names = dict.fromkeys(new if name == old else name for name in (*self.names, new))
        self.brought = {row: new if label == old else label for row, label in self.brought.items()}
        for row, marks in self.marks.items():
            for labeller, mark in marks.items():
                if mark.what == "given" and mark.value == old:
                    marks[labeller] = replace(mark, value=new)
            self._settle(row)
        for row, label in self.final.items():
            if label == old:
                self.final[row] = new
        self.counts[new] += self.counts.pop(old, 0)

    # --- what is asked of it ---

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels: the named ones first, then those that rows have."""
        return tuple(dict.fromkeys([*self.names, *sorted(name for name, rows in self.counts.items() if rows > 0)]))

    def mine(self, row: int, labeller: str) -> Mark | None:
        """What a person last did to a row."""
        mark = self.marks.get(row, {}).get(labeller)
        return None if mark is None or (mark.what == "given" and mark.value is None) else mark

    def is_open(self, row: int, labeller: str) -> bool:
        """Whether nobody gave it anything, and this person did not put it aside."""
        return row not in self.final and self.mine(row, labeller) is None

    def marked(self, what: str, labeller: str) -> list[int]:
        """Rows that a person put aside in that way, the oldest first; those that have a value meanwhile are done."""
        found = [
            (mark.fact, row)
            for row, marks in self.marks.items()
            if (mark := marks.get(labeller)) and mark.what == what and (what == "unsure" or row not in self.final)
        ]
        return [row for _, row in sorted(found)]

    def given_by(self, labeller: str) -> dict[int, str]:
        """Row → what that person gave it."""
        return {
            row: mark.value
            for row, marks in self.marks.items()
            if (mark := marks.get(labeller)) and mark.what == "given" and mark.value is not None
        }

    def labellers(self) -> dict[str, int]:
        """Who gave something, and to how many rows."""
        return dict(
            Counter(
                name
                for marks in self.marks.values()
                for name, mark in marks.items()
                if mark.what == "given" and mark.value is not None
            )
        )


_NAMING: dict[str, Callable[[LabelingProgress, str], None]] = {
    "names": LabelingProgress._all_names,
    "add": LabelingProgress._add,
    "remove": LabelingProgress._remove,
    "rename": LabelingProgress._rename,
}


def undone_by(facts: Iterable[Fact]) -> frozenset[int]:
    """Ids of the facts that were taken back."""
    return frozenset(fact.undoes for fact in facts if fact.what == "undo" and fact.undoes is not None)
