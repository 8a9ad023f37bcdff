"""Folds: each row is tested once, equal rows and groups stay together, labels are spread evenly."""

from collections import Counter

import pytest

from studio.data.splits import Splitter
from studio.data.table import Row
from studio.schema.dataset import Fold, SplitSpec
from studio.schema.errors import StudioError
from studio.tasks import task_named
from tests.unit.test_data_planted import as_table

ROLES = {"text": "text", "label": "label"}
ROWS: list[Row] = [
    {"text": f"message {n // 2 if n < 20 else n}", "label": "rare" if n % 10 == 0 else "common", "who": f"w{n % 13}"}
    for n in range(120)
]
"""The first twenty rows are ten texts, each twice."""


def divided(folds: int = 5, rows: list[Row] = ROWS, **spec: object) -> list[dict[int, str]]:
    splitters = [
        Splitter(
            as_table(rows), task_named("classification"), ROLES, SplitSpec(**spec), fold=Fold(number=n, count=folds)
        )
        for n in range(1, folds + 1)
    ]
    return [dict(each.assign().splits) for each in splitters]


def held_out(splits: dict[int, str]) -> set[int]:
    return {number for number, split in splits.items() if split == "test"}


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_each_row_is_tested_by_exactly_one_fold(folds: int) -> None:
    counts = Counter(number for splits in divided(folds) for number in held_out(splits))
    assert counts == Counter(range(1, 121))


def test_each_fold_trains_and_validates_on_rows_of_the_other_folds() -> None:
    for splits in divided():
        shares = Counter(splits.values())
        assert shares["test"] == pytest.approx(24, abs=4)
        assert shares["validation"] == pytest.approx(0.15 * 96, abs=4)
        assert shares["train"] > 70


def test_equal_texts_are_never_on_both_sides() -> None:
    texts = {number: row["text"] for number, row in enumerate(ROWS, start=1)}
    for splits in divided():
        for one in ("test", "validation"):
            here = {texts[number] for number, split in splits.items() if split == one}
            assert not here & {texts[number] for number, split in splits.items() if split != one}


def test_groups_stay_together() -> None:
    groups = {number: row["who"] for number, row in enumerate(ROWS, start=1)}
    for splits in divided(group_column="who"):
        here = {groups[number] for number in held_out(splits)}
        assert here and not here & {groups[number] for number, split in splits.items() if split != "test"}


def test_each_fold_has_rows_of_a_rare_label() -> None:
    for splits in divided():
        assert {ROWS[number - 1]["label"] for number in held_out(splits)} == {"rare", "common"}


def test_the_folds_are_the_same_each_time_and_others_with_another_seed() -> None:
    assert divided() == divided()
    assert divided(seed=1) != divided()


def test_the_validation_share_of_the_run_holds_for_its_folds_too() -> None:
    assert all("validation" not in splits.values() for splits in divided(validation_share=0.0))


def test_fewer_rows_than_folds_are_refused_with_what_to_do() -> None:
    with pytest.raises(StudioError) as refused:
        divided(10, ROWS[20:26])
    assert "too few different rows for 10 folds" in refused.value.what and "fewer folds" in str(refused.value.hint)
