"""The doctor on rows with several labels each: spellings, rare ones, one that dominates, texts that disagree."""

import json
from typing import Any

import pytest

from studio.data.checks import check, fix_of
from studio.data.formats import read_text
from studio.data.table import Row, Table
from studio.schema.dataset import Problem
from studio.tasks import task_named

SORT = task_named("classification")
ROLES = {"text": "text", "tags": "labels"}
TAGS = [["late", "broken"], ["kind"], ["late"], ["broken", "kind"], ["late", "kind"]]
PLACES = ("Rome", "Oslo", "Lima", "Cairo", "Quito", "Perth", "Kyoto")


def table(rows: list[Row]) -> Table:
    return read_text("\n".join(json.dumps(row) for row in rows))


def tagged(count: int = 60) -> list[Row]:
    return [{"text": f"The parcel {n} for {PLACES[n % 7]} came on day {n}", "tags": TAGS[n % 5]} for n in range(count)]


def the_only(rows: list[Row], kind: str) -> Problem:
    [problem] = check(table(rows), SORT, ROLES).problems
    assert problem.kind == kind
    return problem


def test_clean_rows_with_several_labels_get_no_warnings() -> None:
    assert check(table(tagged()), SORT, ROLES).problems == ()
    assert check(table([*tagged(), {"text": "Nothing of the kind", "tags": []}]), SORT, ROLES).problems == ()


@pytest.mark.parametrize(
    ("cell", "mended"),
    [
        (["Late", "kind"], ["late", "kind"]),
        (["kind", "LATE", "late"], ["kind", "late"]),
        ("Late|kind", "late|kind"),
        ("kind, Late", "kind, late"),
        ('["Late", "kind"]', '["late", "kind"]'),
    ],
    ids=str,
)
def test_spellings_of_one_label_are_told_and_merged_in_the_cell_as_it_is_written(cell: Any, mended: Any) -> None:
    rows = tagged()
    rows[7] = {**rows[7], "tags": cell}
    problem = the_only(rows, "rare-label")
    assert problem.rows == (8,) and "differs from another only in case" in problem.message
    fix = fix_of(table(rows), SORT, ROLES, "rare-label")
    assert fix.values == {8: {"tags": mended}} and not fix.remove
    assert check(fix.of(table(rows)), SORT, ROLES).problems == ()


def test_a_label_of_very_few_rows_is_told_also_beside_others() -> None:
    rows = tagged()
    rows[3] = {**rows[3], "tags": ["kind", "odd"]}
    problem = the_only(rows, "rare-label")
    assert problem.rows == (4,) and "odd (1 row)" in problem.message
    assert fix_of(table(rows), SORT, ROLES, "rare-label").remove == [4]


def test_a_label_in_nearly_all_rows_dominates_and_rows_that_say_more_stay() -> None:
    rows = [{**row, "tags": ["parcel", "late"] if n % 5 == 0 else ["parcel"]} for n, row in enumerate(tagged())]
    problem = the_only(rows, "imbalance")
    assert "100% of the rows have the label parcel." in problem.message and problem.count == 48
    kept = check(fix_of(table(rows), SORT, ROLES, "imbalance").of(table(rows)), SORT, ROLES)
    assert kept.labels == {"late": 12, "parcel": 12}
    both = [{**row, "tags": ["parcel", *row["tags"]]} for row in tagged()]
    told = the_only(both, "imbalance")
    assert told.count == 0 and told.fix == "", "no row says that alone"


def test_one_text_under_different_sets_of_labels_is_a_conflict_and_the_order_is_none() -> None:
    rows = tagged()
    rows[10] = {**rows[0], "tags": ["broken", "late"]}
    assert "label-conflict" not in {each.kind for each in check(table(rows), SORT, ROLES).problems}
    rows[10] = {**rows[0], "tags": ["late"]}
    problem = the_only(rows, "label-conflict")
    assert problem.rows == (1, 11)


def test_near_copies_under_other_labels_are_none_and_a_text_gives_its_labels_away() -> None:
    words = "the lamp that you sent to us in the second week of the month was late and also broken at one corner"
    rows = [*tagged(), {"text": words, "tags": ["late"]}, {"text": f"{words} sadly", "tags": ["late", "broken"]}]
    assert check(table(rows), SORT, ROLES).problems == ()
    rows[-1]["tags"] = ["late"]
    assert the_only(rows, "near-duplicate").rows == (62,)
    held = table([{"text": words, "tags": ["kind"]}, {"text": "Another thing altogether", "tags": ["kind"]}])
    told = check(table(tagged() + rows[-2:-1]), SORT, ROLES, validation=held).problems
    assert [(each.kind, each.rows) for each in told] == [("leakage", (61,))]
