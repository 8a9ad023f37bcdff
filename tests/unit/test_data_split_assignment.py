"""Rows divided by a column: groups stay together, time runs forward, the file's own word counts; and steadiness."""

import json
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as some

from studio.api import Studio
from studio.data.formats import read_text
from studio.data.split_assignment import SplitAssignment, split
from studio.data.splits import Splitter
from studio.data.table import Table
from studio.data.timestamps import moments_of
from studio.schema.dataset import SplitSpec
from studio.schema.errors import StudioError
from studio.tasks import task_named

ROLES = {"text": "text", "label": "label"}


def table_of(rows: list[dict[str, Any]]) -> Table:
    return read_text("\n".join(json.dumps(row) for row in rows))


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    """Rows with further columns, each a function of the row's number."""
    return [
        {"text": f"text {n}", "label": "ab"[n % 2], **{name: make(n) for name, make in more.items()}}
        for n in range(1, count + 1)
    ]


def divided(made: list[dict[str, Any]], validation_file: bool = False, **spec: Any) -> SplitAssignment:
    return Splitter(
        table_of(made), task_named("classification"), ROLES, SplitSpec(**spec), validation_file=validation_file
    ).assign()


def refused(made: list[dict[str, Any]], **spec: Any) -> StudioError:
    with pytest.raises(StudioError) as caught:
        divided(made, **spec)
    return caught.value


# --- groups ---


@settings(max_examples=40, deadline=None)
@given(count=some.integers(20, 700), customers=some.integers(4, 90), seed=some.integers(0, 1000))
@example(count=400, customers=27, seed=235)
def test_no_group_is_ever_on_two_sides(count: int, customers: int, seed: int) -> None:
    chance = Random(seed)
    made = rows(count, customer=lambda n: f"customer {int(chance.paretovariate(1)) % customers}")
    if len({row["customer"] for row in made}) < 2:
        return
    division = divided(made, group_column="customer", seed=seed)
    parts = defaultdict(set)
    for number, part in division.splits.items():
        parts[made[number - 1]["customer"]].add(part)
    assert all(len(each) == 1 for each in parts.values())
    assert division.counts.validation > 0 and len(division.splits) == count


def test_groups_of_like_size_meet_the_shares_and_the_sentence_says_it() -> None:
    division = divided(rows(1000, customer=lambda n: n % 200), group_column="customer")
    assert (division.counts.train, division.counts.validation, division.counts.test) == (850, 100, 50)
    assert "same customer stay together: 200 groups" in division.counts.because


def test_a_row_without_a_group_stands_for_itself() -> None:
    division = divided(rows(200, customer=lambda n: f"c{n % 20}" if n % 2 else None), group_column="customer")
    alone = {division.splits[n] for n in range(2, 201, 2)}
    assert alone == {"train", "validation"}


def test_a_group_stays_in_its_part_as_data_grow() -> None:
    made = rows(1200, customer=lambda n: (n * 7919) % 211)
    small, large = (divided(made[:count], group_column="customer").splits for count in (500, 1200))
    assert {number: large[number] for number in small} == small


def test_one_group_can_not_be_divided() -> None:
    error = refused(rows(50, customer=lambda n: "only"), group_column="customer")
    assert error.field == "group_column" and "one group" in error.what


# --- time ---


def test_the_latest_rows_are_tested_on_and_the_earliest_learned_from() -> None:
    start = date(2024, 1, 1)
    order = Random(3).sample(range(500), 500)
    made = rows(500, day=lambda n: (start + timedelta(days=order[n - 1])).isoformat())
    division = divided(made, time_column="day")
    assert (division.counts.train, division.counts.validation, division.counts.test) == (425, 50, 25)
    last = {part: max(made[n - 1]["day"] for n in division.rows(part)) for part in ("train", "validation")}
    first = {part: min(made[n - 1]["day"] for n in division.rows(part)) for part in ("validation", "test")}
    assert last["train"] < first["validation"] and last["validation"] < first["test"]
    assert division.counts.because.startswith("By time in day: the latest rows are held out.")


def test_rows_of_one_moment_stay_together_and_rows_without_one_are_learned_from() -> None:
    made = rows(100, day=lambda n: None if n <= 10 else f"2024-01-{1 + n // 12:02d}")
    division = divided(made, time_column="day")
    assert (
        all(division.splits[n] == "train" for n in range(1, 11)) and "10 rows without a time" in division.counts.because
    )
    parts = defaultdict(set)
    for number, part in division.splits.items():
        parts[made[number - 1]["day"]].add(part)
    assert all(len(each) == 1 for each in parts.values())


@pytest.mark.parametrize(
    "values",
    [
        ["2024-01-31", "2024-02-01", "2025-01-01"],
        ["31.01.2024", "01.02.2024", "01.01.2025"],
        ["31/01/2024 10:00", "01/02/2024 09:00", "01/01/2025 08:00"],
        ["1/31/2024", "2/1/2024", "1/1/2025"],
        ["Jan 31, 2024", "Feb 01, 2024", "Jan 01, 2025"],
        [1706659200, 1706745600.5, 1735689600],
        ["2024-01-31T10:00:00Z", "2024-01-31T12:00:00+01:00", "2024-02-01 08:00:00"],
        ["Wed, 31 Jan 2024 09:00:00 +0000", "Thu, 01 Feb 2024 09:00:00 +0000", "Wed, 01 Jan 2025 09:00:00 +0000"],
    ],
)
def test_moments_are_understood_as_people_write_them(values: list[Any]) -> None:
    moments = moments_of(dict(enumerate(values, 1)), "day")
    assert list(moments) == [1, 2, 3] and moments[1] < moments[2] < moments[3]


def test_what_is_no_moment_is_refused_by_its_row_and_an_unclear_order_is_said() -> None:
    made = rows(60, day=lambda n: "soon" if n == 17 else "2024-01-02")
    error = refused(made, time_column="day")
    assert error.rows == (17,) and "Row 17" in error.what and error.given == "soon"
    assert "no dates or times" in refused(rows(60, day=lambda n: f"word {n}"), time_column="day").what
    assert refused(rows(60, day=lambda n: "nan" if n == 17 else n), time_column="day").rows == (17,)
    unclear = refused(rows(60, day=lambda n: f"0{1 + n % 9}/0{1 + n % 7}/2024"), time_column="day")
    assert "day and month can't be told apart" in unclear.what
    assert "too few different times" in refused(rows(60, day=lambda n: "2024-01-02"), time_column="day").what


# --- the file's own word ---


def test_a_column_of_parts_of_any_name_can_be_chosen_and_the_usual_one_ignored() -> None:
    made = rows(60, use=lambda n: "test" if n > 50 else "val" if n > 40 else "train", split=lambda n: "train")
    chosen = divided(made, split_column="use")
    assert (chosen.counts.train, chosen.counts.validation, chosen.counts.test) == (40, 10, 10)
    table = table_of(rows(60, split=lambda n: "test" if n > 50 else "val" if n > 40 else "train"))
    about = (table, task_named("classification"), ROLES)
    assert Splitter(*about, SplitSpec(), split_column="split").assign().counts.test == 10
    ignored = Splitter(*about, SplitSpec(split_column="none"), split_column="split").assign().counts
    assert ignored.test == 0 and ignored.validation == 10 and ignored.because.startswith("Default for 40 to 399 rows")


def test_a_column_that_names_no_parts_is_refused_with_what_it_holds() -> None:
    error = refused(rows(60, use=lambda n: "maybe" if n == 9 else "train"), split_column="use")
    assert error.rows == (9,) and error.given == "maybe"


def test_columns_that_do_not_exist_or_exclude_each_other_are_refused_together() -> None:
    error = refused(rows(20, customer=lambda n: n), group_column="custmer", time_column="when")
    assert [each.field for each in error.all()] == ["group_column", "time_column", "time_column"]
    assert "customer" in error.all()[0].hint


# --- steadiness ---


@pytest.mark.parametrize("labels", [0, 3])
def test_by_content_alone_a_row_keeps_its_part_whatever_comes_goes_or_moves(labels: int) -> None:
    made = [(n, f"text {n}", f"label {n % labels}" if labels else "") for n in range(1, 3001)]
    spec = SplitSpec(stable_splits=True)
    before = split(made, spec)
    mixed = Random(1).sample(made, 1500) + [(n, f"new {n}", "") for n in range(3001, 4001)]
    after = split(Random(2).sample(mixed, len(mixed)), spec)
    assert {n: part for n, part in after.splits.items() if n <= 3000} == {
        n: before.splits[n] for n, *_ in mixed if n <= 3000
    }
    assert abs(before.counts.validation - 300) < 60 and abs(before.counts.test - 150) < 45


def test_new_rows_on_top_move_nothing_by_content_alone() -> None:
    made = rows(900, customer=lambda n: n % 120)
    new = [{"text": f"newer {n}", "label": "a", "customer": 500 + n} for n in range(200)]
    old = divided(made, group_column="customer", stable_splits=True).splits
    both = divided(new + made, group_column="customer", stable_splits=True).splits
    assert {n: both[n + 200] for n in old} == old


# --- kept, and repeated ---


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path / "home")


def test_how_rows_are_divided_is_kept_with_the_dataset_and_carried_to_its_next_version(studio: Studio) -> None:
    made = rows(200, customer=lambda n: n % 20)
    record = studio.datasets.add_text("\n".join(json.dumps(row) for row in [*made, made[0]]))
    kept = studio.datasets.set_splits(record.id, group_column="customer")
    assert kept.spec and kept.spec.splits == SplitSpec(group_column="customer")
    assert "customer" in studio.datasets.splits(record.id).because
    fixed = studio.checks.fix(record.id, "duplicate")
    assert fixed.version == 2 and "customer" in studio.datasets.splits(record.id).because
    studio.datasets.set_roles(record.id, "classification", ROLES)
    assert "customer" in studio.datasets.splits(record.id).because
    assert "customer" not in studio.datasets.splits(record.id, group_column="").because, "what is asked now counts more"
    with pytest.raises(StudioError) as caught:
        studio.datasets.splits(record.id, time_column="text")
    assert "no dates or times" in caught.value.what, "another way takes the place of the one kept"
    with pytest.raises(StudioError) as caught:
        studio.datasets.set_splits(record.id, group_column="nobody")
    assert caught.value.field == "group_column"


def test_rows_shared_between_the_parts_of_a_chosen_column_are_found(studio: Studio) -> None:
    made = rows(60, use=lambda n: "test" if n > 50 else "train")
    made[55]["text"] = made[4]["text"]
    record = studio.datasets.add_text("\n".join(json.dumps(row) for row in made))
    assert "leakage" not in {each.kind for each in studio.checks.check(record.id).problems}
    studio.datasets.set_splits(record.id, split_column="use")
    found = {each.kind: each.rows for each in studio.checks.check(record.id).problems}
    assert found["leakage"] == (5,)
    assert studio.checks.fix(record.id, "leakage").rows == 59


def test_a_version_with_other_cells_is_divided_as_the_one_before(studio: Studio) -> None:
    from studio.services.datasets.service import Datasets

    record = studio.datasets.add_text("\n".join(json.dumps(row) for row in rows(200, customer=lambda n: n % 20)))
    studio.datasets.set_splits(record.id, group_column="customer")
    Datasets(studio.context).with_values(record.id, {3: {"text": "other words"}}, "One text was mended.")
    assert studio.datasets.get(record.id).spec is None
    assert "customer" in studio.datasets.splits(record.id).because
    reread = studio.datasets.add_text("a,b\n" + "\n".join(f"x{n},{n % 2}" for n in range(50)))
    assert "customer" not in studio.datasets.splits(reread.id).because
