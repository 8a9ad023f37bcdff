"""Where a row is, it stays: under fixes, as labels come, as rows are added; and what stands in two parts is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.data.checks import check, fix_of
from studio.data.formats import read_text
from studio.data.split_assignment import split
from studio.data.splits import Splitter
from studio.data.table import Row, Table
from studio.schema.dataset import SplitSpec
from studio.schema.errors import StudioError
from studio.services.datasets.check_options import CheckOptions
from studio.store.split_store import VersionSplit
from studio.tasks import task_named

CHAT, SORT = task_named("chat"), task_named("classification")
PAIR, LABELLED = {"question": "prompt", "answer": "reply"}, {"text": "text", "label": "label"}
PLACES = ("Rome", "Oslo", "Lima", "Cairo", "Quito", "Perth", "Kyoto", "Accra", "Dakar", "Turin", "Leeds")
THINGS = ("lamp", "sofa", "kettle", "ladder", "carpet", "mirror", "pillow", "bucket", "candle")
SHOPS = ("north", "east", "south", "west", "harbour", "station", "market", "castle")
DOES = ("arrives by ship", "waits for paint", "was sold twice", "needs a longer cable", "costs less on Monday")


def lines(rows: list[Row]) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def table(rows: list[Row]) -> Table:
    return read_text(lines(rows))


def words(n: int) -> str:
    return f"The {THINGS[n % 9]} from {PLACES[n % 11]} {DOES[n % 5]} at the {SHOPS[n % 8]} shop, says note {n}."


def pairs(count: int = 120) -> list[Row]:
    return [
        {
            "question": f"What of {THINGS[n % 9]} {n} in {PLACES[n % 11]}?",
            "answer": words(n),
            "customer": f"c{n % 12}",
            "day": f"2024-{1 + n // 28:02d}-{1 + n % 28:02d}",
        }
        for n in range(count)
    ]


def parts(studio: Studio, dataset: str, version: int, splits: SplitSpec | None = None) -> dict[str, str]:
    """Question → part."""
    record = studio.datasets.get(dataset, version)
    spec = record.spec or studio.datasets.spec(dataset)
    of = VersionSplit(studio.datasets.store, record, spec, splits or SplitSpec()).assign().splits
    return {
        str(row.get("question", row.get("text"))): of[number]
        for number, row in studio.datasets.table(dataset, version).numbered()
        if number in of
    }


# --- a row stays in its part ---


@pytest.mark.parametrize("splits", [SplitSpec(), SplitSpec(group_column="customer")], ids=["text", "group"])
def test_a_fix_moves_no_row_to_another_part(studio: Studio, splits: SplitSpec) -> None:
    rows = pairs()
    rows[4] = {**rows[1]}
    rows[30]["answer"] = "TODO"
    record = studio.datasets.add_text(lines(rows))
    studio.datasets.set_roles(record.id, "chat", PAIR)
    before = parts(studio, record.id, 1, splits)
    for version, kind in ((2, "duplicate"), (3, "placeholder")):
        assert studio.checks.fix(record.id, kind).version == version
        after = parts(studio, record.id, version, splits)
        assert after and after == {question: before[question] for question in after}
    assert len(after) < len(before)
    alone = Splitter(studio.datasets.table(record.id), CHAT, PAIR, splits).assign()
    moved = [
        row
        for row, part in alone.splits.items()
        if part
        != VersionSplit(studio.datasets.store, studio.datasets.get(record.id), studio.datasets.spec(record.id), splits)
        .assign()
        .splits[row]
    ]
    assert moved or splits.group_column, "without the earlier versions some rows would have moved"


def test_rows_that_get_a_label_later_move_none_that_had_one_across_the_border_of_forty(studio: Studio) -> None:
    rows = [{"text": words(n), "label": ["good", "bad"][n % 2] if n < 34 else ""} for n in range(500)]
    record = studio.datasets.add_text(lines(rows))
    studio.datasets.set_roles(record.id, "classification", LABELLED)
    earlier = parts(studio, record.id, 1)
    assert set(earlier.values()) == {"train", "validation"} and len(earlier) == 34
    for version, upto in ((2, 60), (3, 460)):
        labels = {n + 1: {"label": ["good", "bad"][n % 2]} for n in range(34, upto)}
        studio.datasets.with_values(record.id, labels, "Labelled.")
        studio.datasets.set_roles(record.id, "classification", LABELLED)
        now = parts(studio, record.id, version)
        assert len(now) == upto and {text: now[text] for text in earlier} == earlier
        earlier = now
    assert all(list(now.values()).count(part) > 15 for part in ("train", "validation", "test"))
    counts = studio.datasets.splits(record.id)
    assert "Earlier rows stay in their split." in counts.because and counts.test > 15


def test_parts_of_earlier_versions_are_worked_out_once_and_again_when_what_was_kept_is_gone(studio: Studio) -> None:
    import shutil

    rows = [{**row, "answer": "TODO"} if n in (30, 50) else row for n, row in enumerate(pairs())]
    rows[4] = {**rows[1]}
    record = studio.datasets.add_text(lines(rows))
    studio.datasets.set_roles(record.id, "chat", PAIR)
    studio.checks.fix(record.id, "duplicate")
    studio.checks.fix(record.id, "placeholder")
    folder = studio.datasets.store.parts_folder(record.id)
    first = parts(studio, record.id, 3)
    kept = sorted(path.name for path in folder.iterdir())
    assert len(kept) == 2 and [name[0] for name in kept] == ["1", "2"]
    before = studio.datasets.store.rows_path(record.id, 1)
    before.rename(before.with_suffix(".away"))
    assert parts(studio, record.id, 3) == first, "the first version is not read again"
    before.with_suffix(".away").rename(before)
    shutil.rmtree(folder)
    assert parts(studio, record.id, 3) == first
    other = parts(studio, record.id, 3, SplitSpec(seed=7))
    assert other != first and len(list(folder.iterdir())) == 4, "another way of dividing is another matter"
    studio.datasets.delete(record.id)
    assert not folder.exists()


def test_rows_that_are_left_out_move_no_other_row() -> None:
    whole = Splitter(table(pairs()), CHAT, PAIR).assign().splits
    some = Splitter(table(pairs()), CHAT, PAIR).assign(left_out=["leakage"], rows_left_out=((3, 9), (70, 70)))
    assert some.splits == {number: part for number, part in whole.items() if not 3 <= number <= 9 and number != 70}
    counts = some.counts
    assert counts.train + counts.validation + counts.test == 112
    held = [(number, number) for number, part in whole.items() if part == "validation"]
    with pytest.raises(StudioError, match="All rows of the validation split are left out"):
        Splitter(table(pairs()), CHAT, PAIR).assign(left_out=["near-duplicate"], rows_left_out=tuple(held))


def test_by_content_alone_the_number_of_rows_moves_none() -> None:
    rows = [(n, f"text {n}", "") for n in range(1, 501)]
    spec = SplitSpec(stable_splits=True)
    whole = split(rows, spec).splits
    for count in (39, 41, 399, 401):
        some = split(rows[:count], spec).splits
        assert [n for n in some if some[n] != whole[n]] == []
    assert "By content" in split(rows, spec).counts.because


# --- what stands in two parts ---


def told(studio: Studio, dataset: str) -> dict[str, Any]:
    return {each.kind: each for each in studio.checks.check(dataset, "chat", CheckOptions(PAIR)).problems}


@pytest.mark.parametrize("way", ["group_column", "time_column"])
def test_a_copy_under_another_group_or_another_day_is_told_where_it_gives_the_test_away(
    studio: Studio, way: str
) -> None:
    rows = pairs()
    clean = studio.datasets.add_text(lines(rows))
    studio.datasets.set_roles(clean.id, "chat", PAIR)
    column = {"group_column": "customer", "time_column": "day"}[way]
    studio.datasets.set_splits(clean.id, **{way: column})
    assert studio.checks.check(clean.id).problems == ()
    of = Splitter(table(rows), CHAT, PAIR, SplitSpec(**{way: column})).assign().splits
    held = next(n for n in sorted(of, reverse=True) if of[n] == "validation")
    train = next(n for n in sorted(of) if of[n] == "train")
    rows[train - 1] = {**rows[held - 1], column: rows[train - 1][column]}
    record = studio.datasets.add_text(lines(rows))
    studio.datasets.set_roles(record.id, "chat", PAIR)
    assert "leakage" not in told(studio, record.id), "the usual parts keep equal texts together"
    studio.datasets.set_splits(record.id, **{way: column})
    found = told(studio, record.id)
    assert set(found) == {"duplicate", "leakage"} and found["leakage"].rows == (train,)
    assert "1 training row is also in validation or test." in found["leakage"].message
    fixed = studio.checks.fix(record.id, "leakage")
    assert fixed.rows == 119 and studio.checks.check(record.id).problems == ()


def test_near_copies_on_both_sides_of_the_studios_own_parts_are_told_and_removed_from_training(
    studio: Studio,
) -> None:
    rows = pairs()
    of = Splitter(table(rows), CHAT, PAIR).assign().splits
    held = [n for n in of if of[n] == "validation"][:3]
    train = [n for n in of if of[n] == "train"]
    planted = []
    for row, twin in zip(held, train[60:], strict=False):
        near = {**rows[row - 1], "answer": rows[row - 1]["answer"].replace("says note", "says the note")}
        rows.append({**near, "question": f"{near['question']} Please."})
        planted.append(len(rows))
        rows.append({**rows[twin - 1], "question": f"{rows[twin - 1]['question']} Please."})
    record = studio.datasets.add_text(lines(rows))
    studio.datasets.set_roles(record.id, "chat", PAIR)
    now = parts(studio, record.id, 1)
    both = {n for n, row in enumerate(rows, 1) if now[row["question"]] == "train"}
    wanted = {copy for first, copy in zip(held, planted, strict=True) if copy in both and first not in both}
    assert wanted, "some near copy fell on the other side"
    found = told(studio, record.id)
    assert wanted <= set(found["leakage"].rows) and "with a few different words" in found["leakage"].message
    for number in found["leakage"].rows:
        assert now[rows[number - 1]["question"]] == "train"
    studio.checks.fix(record.id, "leakage")
    assert "leakage" not in told(studio, record.id)


def test_a_division_is_asked_for_only_where_rows_are_alike() -> None:
    def never() -> dict[int, str]:
        raise AssertionError("nothing is alike here")

    assert check(table(pairs()), CHAT, PAIR, get_splits=never, copies_cross_splits=True).problems == ()
    assert not fix_of(table(pairs()), CHAT, PAIR, "leakage", get_splits=never)


def test_a_run_divides_as_the_page_said(studio: Studio, tmp_path: Path) -> None:
    from studio.schema.runs import RunSpec
    from studio.schema.settings_check import config_from
    from studio.worker.rows import rows_of_run

    rows = pairs()
    rows[4] = {**rows[1]}
    record = studio.datasets.add_text(lines(rows))
    studio.datasets.set_roles(record.id, "chat", PAIR)
    before = parts(studio, record.id, 1)
    studio.checks.fix(record.id, "duplicate")
    counts = studio.datasets.splits(record.id)
    run = RunSpec(
        config=config_from({"task": "chat", "model": "none"}),
        dataset=record.id,
        dataset_version=2,
        data=studio.datasets.spec(record.id),
        splits=SplitSpec(),
    )
    learned = rows_of_run(studio.context.workspace.datasets, run)
    assert len(learned.train) == counts.train and len(learned.validation) == counts.validation
    assert {before[row["question"]] for row in learned.train} == {"train"}
