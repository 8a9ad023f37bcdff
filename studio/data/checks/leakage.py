"""Rows for training that also stand in validation or test, exactly or nearly: in parts that the file brought, in a file
of its own for validation, or in the parts that the studio makes."""

from array import array
from collections.abc import Mapping

from studio.data.checks.base import Check, Context, Seen
from studio.data.checks.duplicate import key_of
from studio.data.checks.labels import without_labels
from studio.data.checks.near_duplicate import MOST, looker_of, one_in, parts_of
from studio.data.near_duplicates import Texts, in_sample
from studio.data.phrases import many
from studio.data.split_names import split_name
from studio.data.table import Table
from studio.schema.dataset import Problem

HELD = ("validation", "test")


class Leakage(Check):
    kind = "leakage"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.brought = context.validation is not None or context.split_column is not None
        self.texts = Texts()
        self.one_in = one_in(context)
        self.near = looker_of(context)
        self.held: set[int] = set()
        self.numbers, self.keys = array("Q"), array("q")
        self.exact = 0
        if context.validation is not None:
            self._hold(context.validation)

    @classmethod
    def applies(cls, context: Context) -> bool:
        return bool(context.validation is not None or context.split_column is not None or context.division)

    @classmethod
    def lacking(cls, context: Context) -> str:
        return "" if cls.applies(context) else "Say what training is judged by (--validation)."

    def _hold(self, validation: Table) -> None:
        task, roles = self.context.task, self.context.roles
        for number, row in validation.numbered():
            values = task.values(row, roles)
            if number not in validation.bad_rows and not task.lacks(values, roles):
                self._keep(Seen(number, row, values, ""), held=True)

    def see(self, seen: Seen) -> None:
        if self.brought:
            column = self.context.split_column
            part = split_name(seen.row.get(column)) if column else None
            self._keep(seen, held=part in HELD)
            return
        self.near.see(seen)
        if self.context.parts_copies:
            self.numbers.append(seen.number)
            self.keys.append(_key(seen))

    def _keep(self, seen: Seen, held: bool) -> None:
        key = _key(seen)
        if held:
            self.held.add(key)
        else:
            self.numbers.append(seen.number)
            self.keys.append(key)
        parts = parts_of(seen)
        if (self.one_in == 1 or len(self.texts) < 1.5 * MOST) and in_sample(parts, self.one_in):
            self.texts.add(seen.number, parts, held=held)

    def finish(self) -> None:
        if not self.brought:
            self._look_across()
        elif self.held:
            exact = {number for number, key in zip(self.numbers, self.keys, strict=True) if key in self.held}
            self.exact = len(exact)
            self.found.extend(sorted(exact | {number for number, _ in self.texts.near()}))

    def _look_across(self) -> None:
        """In the studio's own parts: near copies, and exact ones where these may fall apart. Rows are divided only when
        there are any."""
        assert self.context.division is not None
        copied = len(set(self.keys)) < len(self.keys)
        if not copied and not self.context.shared.get("beside") and not self.near.found.pairs:
            return
        part = self.context.division()  # at once where another process still looks for near rows
        held = {key for number, key in zip(self.numbers, self.keys, strict=True) if part.get(number) in HELD}
        exact = {
            number
            for number, key in zip(self.numbers, self.keys, strict=True)
            if key in held and part.get(number) == "train"
        }
        self.exact = len(exact)
        self.found.extend(sorted(exact | self._near_across(part)))

    def _near_across(self, part: Mapping[int, str]) -> set[int]:
        """Rows for training that are near the same row as one held back."""
        nearest = dict(self.near.found.pairs)
        alike: dict[int, list[int]] = {}
        for number, first in self.near.found.pairs:
            alike.setdefault(first, [first]).append(number)
        for number, first in self.near.found.copies:
            root = nearest.get(first, first)
            if root in alike:
                alike[root].append(number)
        return {
            number
            for rows in alike.values()
            if any(part.get(number) in HELD for number in rows)
            for number in rows
            if part.get(number) == "train"
        }

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        near = len(self.found) - self.exact
        also = (
            "" if not near else " nearly" if not self.exact else f", {near:,} of them with other words here and there"
        )
        compared = len(self.texts) if self.brought else self.near.found.compared
        sampled = f" Near ones were looked for in a sample of {many(compared, 'row')}." if self.one_in > 1 else ""
        where = "the validation file" if self.context.validation is not None else "validation or test"
        return [
            self.problem(
                "warning",
                f"{many(len(self.found), 'row', 'rows')} for training also stand{'s' if len(self.found) == 1 else ''} "
                f"in {where}{also}.{sampled}",
                "What was learned by heart can't be tested: scores come out too good.",
                "Remove them from training",
            )
        ]


def _key(seen: Seen) -> int:
    """What a row says; its label does not count, since the text alone gives the answer away."""
    return key_of(without_labels(seen.values))
