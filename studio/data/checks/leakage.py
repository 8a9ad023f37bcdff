"""Training rows that are also in validation or test, exactly or nearly.

The splits are those of the file, a separate validation file, or those that the studio assigns.
"""

from array import array
from collections.abc import Mapping

from studio.data.checks.base import Check, Context, RowView
from studio.data.checks.duplicate import key_of
from studio.data.checks.labels import without_labels
from studio.data.checks.near_duplicate import MOST, near_duplicate_finder, one_in, texts_by_role
from studio.data.near_duplicates import Texts, in_sample
from studio.data.split_names import split_name
from studio.data.table import Table
from studio.schema.numbers import plural, rows

HELD_OUT = ("validation", "test")


class Leakage(Check):
    kind = "leakage"
    why = "The model may memorize these rows (data leakage). Scores on held-out rows are then too good."
    fix = "Remove them from training"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.has_fixed_splits = context.validation is not None or context.split_column is not None
        self.texts = Texts()
        self.one_in = one_in(context)
        self.near = near_duplicate_finder(context)
        self.held_out: set[int] = set()
        self.numbers, self.keys = array("Q"), array("q")
        self.exact = 0
        if context.validation is not None:
            self._add_validation(context.validation)

    @classmethod
    def applies(cls, context: Context) -> bool:
        return bool(context.validation is not None or context.split_column is not None or context.get_splits)

    @classmethod
    def lacking(cls, context: Context) -> str:
        return "" if cls.applies(context) else "Give a file for validation (--validation FILE)."

    def _add_validation(self, validation: Table) -> None:
        task, roles = self.context.task, self.context.roles
        for number, row in validation.numbered():
            values = task.values(row, roles)
            if number not in validation.bad_rows and not task.lacks(values, roles):
                self._add(RowView(number, row, values, ""), held_out=True)

    def visit(self, view: RowView) -> None:
        if self.has_fixed_splits:
            column = self.context.split_column
            split = split_name(view.row.get(column)) if column else None
            self._add(view, held_out=split in HELD_OUT)
            return
        self.near.visit(view)
        if self.context.copies_cross_splits:
            self.numbers.append(view.number)
            self.keys.append(_key(view))

    def _add(self, view: RowView, held_out: bool) -> None:
        key = _key(view)
        if held_out:
            self.held_out.add(key)
        else:
            self.numbers.append(view.number)
            self.keys.append(key)
        texts = texts_by_role(view)
        if (self.one_in == 1 or len(self.texts) < 1.5 * MOST) and in_sample(texts, self.one_in):
            self.texts.add(view.number, texts, held_out=held_out)

    def finish(self) -> None:
        if not self.has_fixed_splits:
            self._find_across_splits()
        elif self.held_out:
            exact = {number for number, key in zip(self.numbers, self.keys, strict=True) if key in self.held_out}
            self.exact = len(exact)
            self.row_numbers.extend(sorted(exact | {number for number, _ in self.texts.near()}))

    def _find_across_splits(self) -> None:
        """Find near duplicates across the studio's own splits, and exact ones where equal texts can be in different
        splits. Splits are assigned only if there are any."""
        assert self.context.get_splits is not None
        has_copies = len(set(self.keys)) < len(self.keys)
        if not has_copies and not self.context.shared.get("parallel") and not self.near.result.pairs:
            return
        split = self.context.get_splits()  # compute this while the other process still searches for near duplicates
        held_out = {key for number, key in zip(self.numbers, self.keys, strict=True) if split.get(number) in HELD_OUT}
        exact = {
            number
            for number, key in zip(self.numbers, self.keys, strict=True)
            if key in held_out and split.get(number) == "train"
        }
        self.exact = len(exact)
        self.row_numbers.extend(sorted(exact | self._near_across_splits(split)))

    def _near_across_splits(self, split: Mapping[int, str]) -> set[int]:
        """Return training rows that are near duplicates of the same row as a held-out row."""
        nearest = dict(self.near.result.pairs)
        alike: dict[int, list[int]] = {}
        for number, first in self.near.result.pairs:
            alike.setdefault(first, [first]).append(number)
        for number, first in self.near.result.copies:
            root = nearest.get(first, first)
            if root in alike:
                alike[root].append(number)
        return {
            number
            for rows in alike.values()
            if any(split.get(number) in HELD_OUT for number in rows)
            for number in rows
            if split.get(number) == "train"
        }

    def message(self) -> str:
        count, near = len(self.row_numbers), len(self.row_numbers) - self.exact
        where = "the validation file" if self.context.validation is not None else "validation or test"
        if near and not self.exact:
            message = plural(
                count,
                "{n} training row is also in {where}, with a few different words.",
                "{n} training rows are also in {where}, with a few different words.",
                where=where,
            )
        else:
            message = plural(
                count, "{n} training row is also in {where}.", "{n} training rows are also in {where}.", where=where
            )
        if near and self.exact:
            message += f" {near:,} of them differ in a few words."
        if self.one_in > 1:
            compared = rows(len(self.texts) if self.has_fixed_splits else self.near.result.compared)
            message += f" Near duplicates were checked in a sample of {compared}."
        return message


def _key(view: RowView) -> int:
    """Return the hash of a row's content without its label. The text alone is enough to leak the answer."""
    return key_of(without_labels(view.values))
