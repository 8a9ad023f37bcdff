"""Rows that are nearly the same as one above: the same words in the same order, but for one in ten."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from studio.data.checks.base import Check, Context, Seen, turns_in
from studio.data.checks.duplicate import key_of
from studio.data.checks.labels import labels_of_row
from studio.data.near_duplicates import Texts, in_sample
from studio.data.phrases import many
from studio.data.synthetic import is_made
from studio.schema.dataset import Problem

MOST = 100_000
"""Rows that are compared, unless all are asked for."""


def one_in(context: Context) -> int:
    """Of how many rows one is compared."""
    return 1 if context.whole else -(-len(context.table) // MOST)


def group_of(seen: Seen) -> str:
    """What must be equal in near rows: the label. Under different labels they are no copies."""
    return "\n".join(labels_of_row(seen.values))


def parts_of(seen: Seen) -> list[str]:
    """What a row says, its label aside: a text for each role, and for each side of a conversation."""
    parts = []
    for role, value in seen.values.items():
        if isinstance(value, str):
            if role != "label":
                parts.append(value)
        elif turns := turns_in(value):
            for asked in (True, False):
                parts.append("\n".join(turn["content"] for turn in turns if (turn["role"] == "user") is asked))
    return parts


@dataclass(frozen=True)
class Near:
    """Which rows are near others."""

    pairs: Sequence[tuple[int, int]]
    """Each row that is near one above, with that one."""
    copies: Sequence[tuple[int, int]]
    """Exact copies, each with the first row that says the same."""
    compared: int
    """Texts that were compared."""


class Looker(Protocol):
    """Whoever looks for near rows during a pass."""

    one_in: int
    """Of how many rows one is compared."""

    def see(self, seen: Seen) -> None:
        """Take a row in."""
        ...

    @property
    def found(self) -> Near:
        """What came of it, after the last row."""
        ...


def looker_of(context: Context) -> Looker:
    """The one of a pass: near rows are looked for once, whoever asks."""
    made: Looker = context.shared.setdefault("near", NearRows(context))
    return made


class NearRows:
    """The rows of a pass compared with each other."""

    def __init__(self, context: Context) -> None:
        self.texts = Texts()
        self.one_in = one_in(context)
        self._copies: list[tuple[int, int]] = []
        self._first: dict[int, int] = {}
        self._last = 0

    def see(self, seen: Seen) -> None:
        """Take a row in, unless it was taken in or belongs to no sample."""
        if seen.number == self._last or is_made(seen.row):
            return
        self._last = seen.number
        parts = parts_of(seen)
        if (self.one_in > 1 and len(self.texts) >= 1.5 * MOST) or not in_sample(parts, self.one_in):
            return
        first = self._first.setdefault(key_of(seen.values), seen.number)
        if first == seen.number:
            self.texts.add(seen.number, parts, group_of(seen))
        else:
            self._copies.append((seen.number, first))

    @cached_property
    def found(self) -> Near:
        return Near(list(self.texts.near()), self._copies, len(self.texts))


class NearDuplicate(Check):
    kind = "near-duplicate"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.near = looker_of(context)

    def see(self, seen: Seen) -> None:
        self.near.see(seen)

    def finish(self) -> None:
        self.found.extend(number for number, _ in self.near.found.pairs)

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        compared = many(self.near.found.compared, "row")
        sampled = f" Looked for in a sample of {compared}." if self.near.one_in > 1 else ""
        return [
            self.problem(
                "warning",
                f"{many(len(self.found), 'row is', 'rows are')} nearly the same as a row above: nine in ten words "
                f"agree, in the same order.{sampled}",
                "Near copies weigh more than other rows, and one that is tested on may have been learned by heart.",
                "Remove the later ones",
            )
        ]
