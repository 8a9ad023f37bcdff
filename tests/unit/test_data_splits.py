"""Rows are divided as cli.md says: by their number, seeded, by label, equal texts together, and steady as data grow."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from studio.data.formats import read, read_text
from studio.data.samples import sample_path
from studio.data.split_assignment import SplitAssignment, default_fractions, split
from studio.data.split_names import split_column_of
from studio.data.splits import Splitter
from studio.schema.dataset import SplitSpec
from studio.schema.errors import StudioError
from studio.tasks import task_named

Keyed = list[tuple[int, str, str]]


def rows(count: int, labels: int = 0) -> Keyed:
    return [(n, f"text {n}", f"label {n % labels}" if labels else "") for n in range(1, count + 1)]


def counts(division: SplitAssignment) -> tuple[int, int, int]:
    found = division.counts
    tallied = Counter(division.splits.values())
    assert (found.train, found.validation, found.test) == tuple(
        tallied[name] for name in ("train", "validation", "test")
    )
    return found.train, found.validation, found.test


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (8, (6, 2, 0)),
        (10, (8, 2, 0)),
        (20, (16, 4, 0)),
        (39, (31, 8, 0)),
        (40, (34, 6, 0)),
        (100, (85, 15, 0)),
        (280, (238, 42, 0)),
        (400, (340, 40, 20)),
        (1000, (850, 100, 50)),
        (10_000, (8500, 1000, 500)),
    ],
)
def test_the_shares_come_out_as_promised(count: int, expected: tuple[int, int, int]) -> None:
    assert counts(split(rows(count))) == expected


@given(count=some.integers(8, 900), seed=some.integers(0, 10_000), labels=some.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_the_shares_come_near_for_any_number_of_rows(count: int, seed: int, labels: int) -> None:
    shares = default_fractions(count)
    train, validation, test = counts(split(rows(count, labels), SplitSpec(seed=seed)))
    near = 3 + labels
    assert abs(validation - shares.validation * count) <= near
    assert abs(test - shares.test * count) <= near
    assert validation >= (2 if count < 40 else 1) and train >= count / 2


def test_the_same_seed_divides_alike_and_another_does_not() -> None:
    first, again, other = (split(rows(200), SplitSpec(seed=seed)).splits for seed in (1, 1, 2))
    assert first == again
    held = [{number for number, part in of.items() if part == "validation"} for of in (first, other)]
    assert len(held[0] & held[1]) < 15


def test_which_row_is_held_back_does_not_hang_on_its_place_alone() -> None:
    held = Counter(n % 10 for seed in range(40) for n in split(rows(200), SplitSpec(seed=seed)).rows("validation"))
    assert len(held) == 10 and max(held.values()) < 2.5 * min(held.values())


@pytest.mark.parametrize("labels", [0, 3])
@pytest.mark.parametrize(("before", "after"), [(40, 399), (95, 131), (333, 334), (450, 1777), (400, 20_000)])
def test_a_row_stays_in_its_split_as_data_grow(before: int, after: int, labels: int) -> None:
    small, large = split(rows(before, labels)).splits, split(rows(after, labels)).splits
    assert {number: large[number] for number in small} == small


def test_rows_for_training_stay_so_when_there_are_enough_for_a_test() -> None:
    small, large = split(rows(399)).splits, split(rows(500)).splits
    assert all(large[number] == "train" for number, part in small.items() if part == "train")
    assert all(large[number] != "train" for number, part in small.items() if part == "validation")


def test_equal_texts_land_in_one_split() -> None:
    repeated = [(n, f"text  {n % 100} ", "") for n in range(1, 1001)]
    parts: dict[int, set[str]] = {}
    for number, part in split(repeated).splits.items():
        parts.setdefault(number % 100, set()).add(part)
    assert all(len(found) == 1 for found in parts.values())
    assert {part for found in parts.values() for part in found} == {"train", "validation", "test"}


def test_each_label_is_divided_like_the_whole() -> None:
    unequal = [(n, f"text {n}", "rare" if n % 10 == 0 else "common") for n in range(1, 2001)]
    division = split(unequal)
    rare = Counter(part for number, part in division.splits.items() if number % 10 == 0)
    assert abs(rare["validation"] + rare["test"] - 30) <= 1
    assert rare["validation"] >= 12 and rare["test"] >= 4


def test_the_only_row_of_a_label_is_learned_from() -> None:
    lonely = [*rows(60, 2), *((100 + n, f"more {n}", f"only {n}") for n in range(30))]
    of = split(lonely).splits
    assert all(of[100 + n] == "train" for n in range(30))


def test_a_validation_file_leaves_the_test_share() -> None:
    assert counts(split(rows(1000), validation_file=True)) == (950, 0, 50)
    assert counts(split(rows(100), validation_file=True)) == (100, 0, 0)
    assert "separate file" in split(rows(100), validation_file=True).counts.because


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (SplitSpec(validation_share=0), (1000, 0, 0)),
        (SplitSpec(validation_share=0, test_share=0.1), (900, 0, 100)),
        (SplitSpec(validation_share=0.2), (750, 200, 50)),
        (SplitSpec(validation_share=0.2, test_share=0), (800, 200, 0)),
        (SplitSpec(test_share=0.2), (700, 100, 200)),
        (SplitSpec(validation_share=0.001), (948, 1, 51)),
    ],
    ids=str,
)
def test_shares_that_a_person_sets_are_kept(spec: SplitSpec, expected: tuple[int, int, int]) -> None:
    found = counts(split(rows(1000), spec))
    assert all(abs(one - other) <= 1 for one, other in zip(found, expected, strict=True))
    assert "Your setting" in split(rows(1000), spec).counts.because


def test_shares_that_leave_nothing_to_learn_from_are_refused() -> None:
    with pytest.raises(StudioError) as caught:
        split(rows(100), SplitSpec(validation_share=0.5, test_share=0.5))
    assert (caught.value.code, caught.value.field) == ("bad-setting", "validation_share")


def test_the_sentence_says_shares_and_that_evaluate_uses_validation() -> None:
    assert default_fractions(500).because == "Default for 400 rows or more: about train 85%, validation 10%, test 5%."
    middle = default_fractions(100).because
    assert (
        middle.startswith("Default for 40 to 399 rows: about train 85%, validation 15%.")
        and "Evaluate uses validation" in middle
    )


def test_parts_that_the_file_brings_are_kept() -> None:
    brought = {n: ("test" if n % 10 == 0 else "dev" if n % 10 == 1 else "train") for n in range(1, 101)}
    division = split(rows(100), file_splits=brought)
    assert counts(division) == (80, 10, 10) and division.splits[10] == "test" and division.splits[11] == "validation"
    assert list(division.splits) == list(range(1, 101))
    no_validation = split(rows(100), file_splits={n: "test" if n % 5 == 0 else "" for n in range(1, 101)})
    train, validation, test = counts(no_validation)
    assert (train + validation, test) == (80, 20) and 11 <= validation <= 13
    assert "its own splits" in no_validation.counts.because


def test_a_column_of_parts_is_recognised() -> None:
    assert split_column_of(read_text("a,Split\n1,train\n2,VAL\n3,test\n")) == "Split"
    assert split_column_of(read_text("a,split\n1,north\n2,south\n")) is None
    assert split_column_of(read_text("a,b\n1,train\n2,test\n")) is None


def test_a_table_is_divided_by_what_its_rows_ask() -> None:
    roles = {"message": "text", "intent": "label"}
    table = read(sample_path("intent-routing"))
    division = Splitter(table, task_named("classification"), roles).assign()
    train, validation, test = counts(division)
    assert train + validation + test == len(table) and abs(validation - 48) <= 4 and abs(test - 24) <= 4
    intents = {table.row(number)["intent"] for number in division.rows("validation")}
    assert len(intents) == 12


def test_rows_that_can_not_be_used_are_in_no_split() -> None:
    lines = "".join(f'"question {n}","{"answer" if n % 10 else ""}"\n' for n in range(1, 101))
    table = read_text("question,answer\n" + lines + "broken\n")
    roles = {"question": "prompt", "answer": "reply"}
    division = Splitter(table, task_named("chat"), roles).assign(left_out=["bad-line"])
    assert len(division.splits) == 90 and not {10, 20, 101} & set(division.splits)


def test_one_prompt_for_all_rows_is_divided_by_its_replies() -> None:
    table = read_text("prompt,reply\n" + "".join(f"Write a slogan.,Slogan number {n}\n" for n in range(100)))
    assert counts(Splitter(table, task_named("chat"), {"prompt": "prompt", "reply": "reply"}).assign()) == (85, 15, 0)


def test_the_column_of_parts_divides_a_table() -> None:
    lines = "".join(f"q{n},a{n},{'test' if n > 80 else 'train'}\n" for n in range(1, 101))
    table = read_text("prompt,reply,split\n" + lines)
    division = Splitter(
        table, task_named("chat"), {"prompt": "prompt", "reply": "reply"}, split_column="split"
    ).assign()
    assert division.rows("test") == list(range(81, 101))
