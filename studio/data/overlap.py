"""Rows that are also among the training rows, exactly or with a few different words, as the data check for leakage
compares them."""

from collections.abc import Iterable, Sequence

from studio.data.checks.base import RowView
from studio.data.checks.duplicate import key_of
from studio.data.checks.labels import without_labels
from studio.data.checks.near_duplicate import MOST, texts_by_role
from studio.data.near_duplicates import Texts, in_sample


def rows_also_in(training: Sequence[RowView], rows: Iterable[RowView]) -> set[int]:
    """Return the numbers of the rows whose content, without its label, is also in a training row.

    Of more training rows than `MOST`, a sample is compared for a few different words, and all are for equal content.
    """
    one_in = -(-len(training) // MOST)
    texts, keys, numbers = Texts(), set(), set()
    for view in training:
        keys.add(key_of(without_labels(view.values)))
        if in_sample(parts := texts_by_role(view), one_in):
            texts.add(view.number, parts, held_out=True)
    for view in rows:
        if key_of(without_labels(view.values)) in keys:
            numbers.add(view.number)
        elif len(texts) and in_sample(parts := texts_by_role(view), one_in):
            texts.add(view.number, parts)
    return numbers | {number for number, _ in texts.near()}
