"""Folds for cross-validation: each row is in the test split of exactly one fold.

Rows with equal texts, or of one group, are in one fold, as they are in one split. Each label is spread evenly over the
folds. A hash of the text and the seed decides, so the folds are the same each time.
"""

from collections.abc import Mapping, Sequence

from studio.data.split_assignment import (
    Keyed,
    SplitAssignment,
    SplitFractions,
    assign_by_fractions,
    default_fractions,
    key_for,
    make_assignment,
)
from studio.schema.dataset import Fold, SplitName, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.numbers import plural


def folds_of(rows: Sequence[Keyed], count: int, seed: int) -> dict[int, int]:
    """Return hash of a text or group → its fold, from 1. Raise `StudioError` for fewer texts or groups than folds."""
    labels: dict[int, str] = {}
    for _, key, label in rows:
        labels.setdefault(key, label)
    if len(labels) < count:
        raise StudioError(
            "too-few-rows",
            f"There are too few different rows for {count} folds.",
            given=plural(len(labels), "{n} different row or group", "{n} different rows or groups"),
            valid=f"at least {count}",
            hint="Choose fewer folds, or add rows.",
            field="folds",
        )
    order = sorted(labels, key=lambda key: (labels[key], key_for(seed, f"fold {key}")))
    return {key: 1 + place % count for place, key in enumerate(order)}


def assign_fold(rows: Sequence[Keyed], spec: SplitSpec, fold: Fold, validation_file: bool) -> SplitAssignment:
    """Assign the rows of a fold to test. The others train, and a part of them validates, as in a run without folds."""
    folds = folds_of(rows, fold.count, spec.seed)
    others = [row for row in rows if folds[row[1]] != fold.number]
    usual = default_fractions(len(rows), _without_test(spec), validation_file=validation_file)
    splits: Mapping[int, SplitName] = assign_by_fractions(others, SplitFractions(usual.validation, 0.0, ""), spec)
    because = f"Fold {fold.number} of {fold.count}. The other folds train."
    return make_assignment({number: splits.get(number, "test") for number, _, _ in rows}, because)


def _without_test(spec: SplitSpec) -> SplitSpec:
    """Return the split settings without a test fraction, because the fold is the test split."""
    return spec.model_copy(update={"test_share": 0.0})
