"""Labelling, whole: two people, labels with new names, replies, choices, and labels that go out and come in."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.api import Studio
from studio.schema.augmentation import AugmentationRequest
from studio.schema.errors import StudioError
from studio.schema.views import Page
from studio.services.labeling.labels import MAX_SESSIONS

TEXTS = [f"message {number} about {'refunds' if number % 2 else 'parcels'}" for number in range(1, 25)]
PAIRS = "question,answer a,answer b\n" + "".join(f"Ask {n}?,short {n},a longer one {n}\n" for n in range(1, 11))


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    studio = Studio(tmp_path / "home")
    yield studio
    studio.close()


@pytest.fixture
def dataset(studio: Studio) -> str:
    data = studio.datasets.add_text("text\n" + "\n".join(TEXTS) + "\n").id
    studio.labels.set_names(data, ["refund", "parcel"])
    return data


def right(row: int) -> str:
    return "refund" if row % 2 else "parcel"


# --- one row at a time ---


def test_undo_brings_back_what_a_row_had_before(studio: Studio, dataset: str) -> None:
    studio.labels.give(dataset, 1, "refund")
    studio.labels.give(dataset, 1, "parcel")
    state = studio.labels.undo(dataset)
    assert (state.row, state.counts) == (1, {"refund": 1, "parcel": 0})


def test_a_row_one_is_unsure_of_stays_away_until_it_is_asked_for(studio: Studio, dataset: str) -> None:
    state = studio.labels.mark(dataset, 1, "unsure")
    assert (state.row, state.unsure, state.done) == (2, 1, 0)
    for row in range(2, 25):
        state = studio.labels.give(dataset, row, right(row))
    assert state.row is None
    assert "unsure" in dict(state.orders)
    state = studio.labels.choose_order(dataset, "unsure")
    assert state.row == 1
    assert studio.labels.give(dataset, 1, "refund").unsure == 0


def test_undo_takes_back_unsure_and_skip_too(studio: Studio, dataset: str) -> None:
    studio.labels.mark(dataset, 1, "unsure")
    studio.labels.mark(dataset, 2, "skip")
    assert studio.labels.undo(dataset).row == 2
    state = studio.labels.undo(dataset)
    assert (state.row, state.unsure) == (1, 0)


def test_the_row_on_the_screen_stays_there_whatever_happens_beside_it(studio: Studio, dataset: str) -> None:
    assert studio.labels.state(dataset, "Ann").row == 1
    studio.labels.give(dataset, 5, "refund", "Ben")
    assert studio.labels.state(dataset, "Ann").row == 1


def test_labels_can_be_put_on_a_row_that_has_one(studio: Studio, dataset: str) -> None:
    studio.labels.give(dataset, 1, "refund")
    assert studio.labels.open(dataset, 1).row == 1
    state = studio.labels.give(dataset, 1, "parcel")
    assert (state.row, state.counts["parcel"], state.counts["refund"]) == (2, 1, 0)


# --- two people ---


def test_two_people_are_never_shown_the_same_row_at_once(studio: Studio, dataset: str) -> None:
    ann, ben = studio.labels.state(dataset, "Ann").row, studio.labels.state(dataset, "Ben").row
    assert (ann, ben) == (1, 2)
    for _ in range(5):
        ann = studio.labels.give(dataset, ann or 0, "refund", "Ann").row
        ben = studio.labels.give(dataset, ben or 0, "parcel", "Ben").row
        assert ann != ben
    state = studio.labels.state(dataset, "Ann")
    assert state.done == 10
    assert {each.name: each.rows for each in state.labellers} == {"Ann": 5, "Ben": 5}


def test_undo_takes_back_ones_own_label_only(studio: Studio, dataset: str) -> None:
    studio.labels.give(dataset, 1, "refund", "Ann")
    studio.labels.give(dataset, 2, "parcel", "Ben")
    state = studio.labels.undo(dataset, "Ann")
    assert (state.row, state.done, state.counts["parcel"]) == (1, 1, 1)


def test_agreement_is_cohens_kappa_on_rows_that_both_saw(studio: Studio, dataset: str) -> None:
    for row in range(1, 21):
        studio.labels.give(dataset, row, right(row), "Ann")
    studio.labels.choose_order(dataset, "second", "Ben")
    seen = set()
    for _ in range(20):
        state = studio.labels.state(dataset, "Ben")
        assert state.row is not None and state.suggestion is None
        seen.add(state.row)
        wrong = state.row <= 4
        studio.labels.give(dataset, state.row, right(state.row + wrong), "Ben")
    assert seen == set(range(1, 21)), "a second opinion is asked of those rows alone that the other one labelled"
    (found,) = studio.labels.state(dataset).agreements
    # 16 of 20 alike; each label is used half the time by both: (0.8 - 0.5) / (1 - 0.5)
    assert (found.first, found.second, found.rows, found.same) == ("Ann", "Ben", 20, 16)
    assert found.kappa == pytest.approx(0.6)
    assert found.differ == (1, 2, 3, 4)
    assert "16 of 20 rows have the same label" in found.sentence and "0.60" in found.sentence


def test_rows_on_which_two_people_differ_can_be_listed(studio: Studio, dataset: str) -> None:
    for row in range(1, 9):
        studio.labels.give(dataset, row, "refund", "Ann")
        studio.labels.give(dataset, row, right(row), "Ben")
    page = studio.labels.rows(dataset, "Ann", show="differ")
    assert [each.row for each in page.rows] == [2, 4, 6, 8]
    assert page.rows[0].by == (("Ann", "refund"), ("Ben", "parcel"))


def test_what_another_process_labels_is_seen_at_once(studio: Studio, dataset: str) -> None:
    assert studio.labels.state(dataset, "Ann").done == 0
    other = Studio(studio.home.root)
    other.labels.give(dataset, 3, "refund", "Ben")
    other.labels.undo(dataset, "Ben")
    other.labels.give(dataset, 4, "parcel", "Ben")
    other.close()
    assert studio.labels.state(dataset, "Ann").counts == {"refund": 0, "parcel": 1}


# --- labels themselves ---


def test_a_renamed_label_has_its_new_name_on_every_row(studio: Studio, dataset: str) -> None:
    for row in range(1, 5):
        studio.labels.give(dataset, row, right(row))
    assert studio.labels.rename(dataset, "refund", "money back") == 2
    state = studio.labels.state(dataset)
    assert state.labels == ("money back", "parcel")
    assert state.counts == {"money back": 2, "parcel": 2}


def test_two_labels_become_one_only_when_it_is_asked_for(studio: Studio, dataset: str) -> None:
    studio.labels.add_names(dataset, ["package"])
    studio.labels.give(dataset, 2, "package")
    studio.labels.give(dataset, 4, "parcel")
    with pytest.raises(StudioError) as refusal:
        studio.labels.rename(dataset, "package", "parcel")
    assert "already" in refusal.value.message
    studio.labels.rename(dataset, "package", "parcel", merge=True)
    state = studio.labels.state(dataset)
    assert state.labels == ("refund", "parcel")
    assert state.counts["parcel"] == 2


def test_a_label_used_again_after_it_was_renamed_is_a_new_one(studio: Studio, dataset: str) -> None:
    studio.labels.give(dataset, 1, "refund")
    studio.labels.rename(dataset, "refund", "money")
    studio.labels.give(dataset, 3, "refund")
    assert studio.labels.state(dataset).counts == {"money": 1, "parcel": 0, "refund": 1}
    again = Studio(studio.home.root)
    assert again.labels.state(dataset).counts == {"money": 1, "parcel": 0, "refund": 1}
    again.close()


def test_a_label_that_stands_on_rows_is_not_taken_away(studio: Studio, dataset: str) -> None:
    studio.labels.give(dataset, 1, "refund")
    with pytest.raises(StudioError) as refusal:
        studio.labels.remove_name(dataset, "refund")
    assert "1 row" in refusal.value.message
    studio.labels.remove_name(dataset, "parcel")
    assert studio.labels.state(dataset).labels == ("refund",)


def test_labels_that_came_with_the_file_are_renamed_too(studio: Studio) -> None:
    data = studio.datasets.add_text(
        "text,label\n" + "".join(f"{text},{right(n)}\n" for n, text in enumerate(TEXTS, 1))
    ).id
    assert studio.labels.rename(data, "parcel", "delivery") == 12
    record = studio.labels.apply(data)
    assert set(studio.checks.check(data).labels) == {"refund", "delivery"}
    assert "12 rows labeled by hand" in record.note


def test_more_labels_than_anybody_can_choose_among_are_refused(studio: Studio, dataset: str) -> None:
    with pytest.raises(StudioError) as refusal:
        studio.labels.set_names(dataset, [str(n) for n in range(101)])
    assert refusal.value.code == "too-many-labels"


# --- many at once ---


def test_many_rows_get_a_label_at_once(studio: Studio, dataset: str) -> None:
    assert studio.labels.give_many(dataset, [2, 4, 6], "parcel") == 3
    page = studio.labels.rows(dataset, show="label:parcel")
    assert [each.row for each in page.rows] == [2, 4, 6]
    assert studio.labels.rows(dataset, show="open").total == 21


def test_undo_takes_back_all_rows_that_were_labeled_at_once(studio: Studio, dataset: str) -> None:
    studio.labels.give(dataset, 1, "refund")
    studio.labels.give_many(dataset, [2, 4, 6], "parcel")
    state = studio.labels.undo(dataset)
    assert (state.done, state.row) == (1, 2)
    assert studio.labels.undo(dataset).done == 0


def test_the_list_finds_rows_by_a_word(studio: Studio, dataset: str) -> None:
    page = studio.labels.rows(dataset, search="REFUNDS", page=Page(1, 5))
    assert page.total == 12
    assert [each.row for each in page.rows] == [1, 3, 5, 7, 9]
    assert studio.labels.rows(dataset, search="refunds", page=Page(11, 5)).rows[-1].row == 23


def test_a_word_is_found_among_all_rows_however_many_there_are(studio: Studio) -> None:
    lines = [f"{'Bear' if n % 20_000 == 7 else 'horse'} number {n}" for n in range(70_000)]
    many = studio.datasets.add_text("text\n" + "\n".join(lines)).id
    found = studio.labels.rows(many, search="bEAR number")
    assert [each.row for each in found.rows] == [8, 20_008, 40_008, 60_008] and found.total == 4
    studio.labels.give_many(many, [20_008, 5], "animal")
    assert [each.row for each in studio.labels.rows(many, show="done", search="bear").rows] == [20_008]
    assert studio.labels.rows(many, search="number 69999").rows[0].row == 70_000
    assert studio.labels.rows(many, search="elk").total == 0
    numbers = studio.datasets.add_text("\n".join(f'{{"text": {n}}}' for n in range(50))).id
    assert [each.row for each in studio.labels.rows(numbers, search="49").rows] == [50], "cells that are no text"


def test_a_list_in_a_way_that_does_not_exist_is_refused(studio: Studio, dataset: str) -> None:
    with pytest.raises(StudioError) as refusal:
        studio.labels.rows(dataset, show="some")
    assert "all" in refusal.value.message


# --- versions ---


def test_labels_follow_their_rows_when_rows_around_them_are_removed(studio: Studio) -> None:
    texts = ["the lamp is broken", "the lamp is broken", *TEXTS]
    rows = "".join(f"{text},I will look into it.\n" for text in texts)
    data = studio.datasets.add_text("question,answer\n" + rows).id
    studio.labels.choose(data, "label", {"text": "question"})
    studio.labels.give(data, 1, "refund")
    studio.labels.give(data, 10, "parcel")
    ten = studio.labels.rows(data, page=Page(1, 50)).rows[9].text
    studio.checks.fix(data, "duplicate")
    state = studio.labels.state(data)
    assert (state.total, state.done) == (25, 2)
    labelled = {each.text: each.value for each in studio.labels.rows(data, show="done").rows}
    assert labelled == {"the lamp is broken": "refund", ten: "parcel"}


def test_labels_follow_their_rows_when_as_many_rows_were_added_as_removed(studio: Studio) -> None:
    texts = ["the first one of all", "the first one of all", *TEXTS]
    data = studio.datasets.add_text(
        "question,answer\n" + "".join(f"{text},I will look into it.\n" for text in texts)
    ).id
    studio.labels.choose(data, "label", {"text": "question"})
    studio.labels.give(data, 10, "parcel")
    ten, before = studio.labels.rows(data, page=Page(1, 50)).rows[9].text, studio.datasets.get(data).rows
    studio.checks.fix(data, "duplicate")
    studio.augmentation.propose(
        data, AugmentationRequest(way="spelling", count=before - studio.datasets.get(data).rows)
    )
    studio.augmentation.decide(data, "kept")
    studio.augmentation.use(data)
    assert studio.datasets.get(data).rows == before
    assert {each.text for each in studio.labels.rows(data, show="done").rows} == {ten}


def test_a_list_of_many_datasets_leaves_the_row_that_a_person_is_labeling(studio: Studio, dataset: str) -> None:
    studio.labels.open(dataset, 7)
    for number in range(MAX_SESSIONS + 1):
        other = studio.datasets.add_text(f"text\none of {number}\ntwo of {number}").id
        studio.labels.done(other)
    assert studio.labels.state(dataset).row == 7


def test_labelling_goes_on_in_the_version_that_was_made_of_it(studio: Studio, dataset: str) -> None:
    for row in range(1, 11):
        studio.labels.give(dataset, row, right(row), "Ann")
    studio.labels.apply(dataset)
    state = studio.labels.state(dataset, "Ann")
    assert (state.done, state.row, state.new) == (10, 11, 0)
    studio.labels.give(dataset, 3, "parcel", "Ben")
    (found,) = studio.labels.state(dataset).agreements
    assert found.rows == 1
    with pytest.raises(StudioError, match="no new labels to save"):
        studio.labels.undo(dataset, "Ben")
        studio.labels.apply(dataset)


def test_a_new_column_of_labels_is_read_once_a_version_has_it(studio: Studio) -> None:
    rows = "".join(f"{text},{right(n)}\n" for n, text in enumerate(TEXTS, 1))
    data = studio.datasets.add_text("text,category\n" + rows).id
    assert studio.labels.state(data).columns == {"text": "text", "label": "category"}
    assert studio.labels.choose(data, "label", {"label": ""}).done == 0
    for row in range(1, 11):
        studio.labels.give(data, row, "new" if row % 2 else "old")
    assert studio.labels.apply(data).columns == ("text", "category", "label")
    state = studio.labels.state(data)
    assert (state.columns["label"], state.counts, state.new) == ("label", {"new": 5, "old": 5}, 0)
    assert studio.datasets.rows(data).rows[0][1]["category"] == "refund", "the column that came with the file stays"


# --- replies ---


@pytest.fixture
def asked(studio: Studio) -> str:
    rows = "".join(f"Where is parcel {n}?,{'It left on Monday.' if n > 8 else ''}\n" for n in range(1, 13))
    return studio.datasets.add_text("question,answer\n" + rows).id


def test_replies_are_written_one_after_the_other_and_make_a_version(studio: Studio, asked: str) -> None:
    state = studio.labels.state(asked, task="chat")
    assert (state.work, state.row, state.text, state.done) == ("reply", 1, "Where is parcel 1?", 4)
    for row in range(1, 6):
        studio.labels.give(asked, row, f"On its way, {row}.")
    studio.labels.apply(asked)
    report = studio.checks.check(asked)
    assert (report.task, report.usable) == ("chat", 9)


def test_a_reply_that_is_there_can_be_repaired(studio: Studio, asked: str) -> None:
    studio.labels.choose(asked, "reply")
    state = studio.labels.open(asked, 9)
    assert state.reply == "It left on Monday."
    studio.labels.give(asked, 9, "It left on Tuesday.")
    assert studio.labels.open(asked, 9).reply == "It left on Tuesday."


def test_what_was_typed_of_a_reply_is_there_after_a_restart(studio: Studio, asked: str) -> None:
    studio.labels.choose(asked, "reply")
    studio.labels.type_reply(asked, 1, "It is on")
    again = Studio(studio.home.root)
    assert again.labels.state(asked).reply == "It is on"
    again.labels.give(asked, 1, "It is on its way.")
    again.close()
    assert studio.labels.open(asked, 1).reply == "It is on its way."


def test_the_last_reply_of_a_conversation_is_repaired(studio: Studio) -> None:
    turns = [{"role": "user", "content": "Where?"}, {"role": "assistant", "content": "Here"}]
    data = studio.datasets.add_text("\n".join(json.dumps({"messages": turns}) for _ in range(9))).id
    state = studio.labels.state(data, task="chat")
    assert (state.work, state.text) == ("reply", "user: Where?")
    state = studio.labels.open(data, 2)
    assert state.reply == "Here"
    studio.labels.give(data, 2, "Under the blue stone")
    studio.labels.apply(data)
    table = studio.datasets.table(data)
    assert [table.row(row)["messages"][-1]["content"] for row in (1, 2)] == ["Here", "Under the blue stone"]


# --- choices ---


def test_the_better_of_two_replies_becomes_chosen_and_the_other_rejected(studio: Studio) -> None:
    data = studio.datasets.add_text(PAIRS).id
    state = studio.labels.state(data, task="preference")
    assert (state.work, state.text) == ("choice", "Ask 1?")
    assert state.replies is not None
    assert {state.replies.left, state.replies.right} == {"short 1", "a longer one 1"}
    for row in range(1, 10):
        studio.labels.give(data, row, "second" if row % 2 else "first")
    studio.labels.give(data, 10, "both")
    studio.labels.apply(data)
    table = studio.datasets.table(data)
    assert (table.row(1)["chosen"], table.row(1)["rejected"]) == ("a longer one 1", "short 1")
    assert (table.row(2)["chosen"], table.row(2)["rejected"]) == ("short 2", "a longer one 2")
    assert table.row(10)["chosen"] is None
    assert studio.labels.state(data).done == 10


@pytest.mark.parametrize(
    ("header", "pair"),
    [
        ("question,response1,response2", ("response1", "response2")),
        ("question,Reply (A),Reply (B)", ("Reply (A)", "Reply (B)")),
        ("question,tuned_reply,reply_base,reply_tuned", ("reply_base", "reply_tuned")),
        ("question,answer,answer 2", None),
    ],
)
def test_two_columns_of_replies_are_found_by_the_ends_of_their_names(
    studio: Studio, header: str, pair: tuple[str, str] | None
) -> None:
    cells = header.count(",")
    rows = "".join(f"Where is the parcel {n}?{',It left.' * cells}\n" for n in range(9))
    state = studio.labels.state(studio.datasets.add_text(f"{header}\n{rows}").id, task="preference")
    found = (state.columns["first"], state.columns["second"]) if state.work == "choice" else None
    assert found == pair


def test_replies_change_sides_so_that_a_side_is_not_chosen_by_habit(studio: Studio) -> None:
    data = studio.datasets.add_text(PAIRS).id
    studio.labels.choose(data, "choice")
    sides = [studio.labels.open(data, row).replies.swapped for row in range(1, 11)]  # type: ignore[union-attr]
    assert set(sides) == {True, False}
    assert sides == [studio.labels.open(data, row).replies.swapped for row in range(1, 11)]  # type: ignore[union-attr]


def test_rows_without_two_replies_can_not_be_compared_and_it_says_why(studio: Studio, dataset: str) -> None:
    state = studio.labels.state(dataset)
    assert "two columns" in {name: why for name, _, why in state.works}["choice"]
    with pytest.raises(StudioError) as refusal:
        studio.labels.choose(dataset, "choice")
    assert refusal.value.code == "columns-unclear"


# --- out and in ---


def test_labels_go_out_as_csv_with_formulas_made_harmless_and_as_jsonl_untouched(studio: Studio) -> None:
    data = studio.datasets.add_text("text\n" + "=1+1\n" + "\n".join(TEXTS)).id
    studio.labels.give(data, 1, "refund", "Ann")
    studio.labels.give(data, 3, "-cmd", "Ann")
    lines = list(csv.DictReader(io.StringIO(studio.labels.export_text(data, "csv"))))
    assert [(each["row"], each["text"], each["label"], each["labeller"]) for each in lines] == [
        ("1", "'=1+1", "refund", "Ann"),
        ("3", TEXTS[1], "'-cmd", "Ann"),
    ]
    rows = [json.loads(line) for line in studio.labels.export_text(data, "jsonl").splitlines()]
    assert [(each["row"], each["text"], each["label"]) for each in rows] == [
        (1, "=1+1", "refund"),
        (3, TEXTS[1], "-cmd"),
    ]


def test_a_line_for_everyone_who_labelled_a_row(studio: Studio, dataset: str) -> None:
    studio.labels.give(dataset, 1, "refund", "Ann")
    studio.labels.give(dataset, 1, "parcel", "Ben")
    rows = [json.loads(line) for line in studio.labels.export_text(dataset, "jsonl", each=True).splitlines()]
    assert [(each["labeller"], each["label"]) for each in rows] == [("Ann", "refund"), ("Ben", "parcel")]
    assert len(studio.labels.export_text(dataset, "jsonl").splitlines()) == 1


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_labels_that_went_out_come_in_again(studio: Studio, dataset: str, tmp_path: Path, ending: str) -> None:
    for row in range(1, 11):
        studio.labels.give(dataset, row, right(row), "Ann")
    file = tmp_path / f"labels.{ending}"
    assert studio.labels.export_file(dataset, file) == 10
    other = Studio(tmp_path / "other")
    data = other.datasets.add_text("text\n" + "\n".join(TEXTS) + "\n").id
    carried = other.labels.import_file(data, file)
    assert (carried.taken, carried.lost, carried.by) == (10, 0, "row")
    assert other.labels.state(data).counts == {"parcel": 5, "refund": 5}
    assert other.labels.state(data, "Ann").labellers[0].name == "Ann"
    assert other.labels.import_file(data, file).same == 10
    other.close()


def test_labels_are_matched_by_text_where_no_row_is_named(studio: Studio, dataset: str) -> None:
    carried = studio.labels.import_text(
        dataset, f"text,label\n{TEXTS[4]},refund\nnobody said this,parcel\n{TEXTS[5]},\n"
    )
    assert (carried.taken, carried.lost, carried.by) == (1, 2, "text")
    assert studio.labels.rows(dataset, show="done").rows[0].row == 5


def test_exported_labels_that_look_like_formulas_come_back_as_they_were(studio: Studio, dataset: str) -> None:
    studio.labels.give(dataset, 1, "+ praise", "@ann")
    carried = studio.labels.import_text(dataset, studio.labels.export_text(dataset))
    assert (carried.taken, carried.same) == (0, 1)
    assert "'+ praise" not in studio.labels.state(dataset).labels


def test_a_row_number_of_thousands_of_digits_is_that_of_no_row(studio: Studio, dataset: str) -> None:
    carried = studio.labels.import_text(dataset, f"row,label\n{'9' * 5000},refund\n2,refund\n")
    assert (carried.taken, carried.lost, carried.by) == (1, 1, "row")


def test_a_file_that_says_of_no_row_what_it_is_about_is_refused(studio: Studio, dataset: str) -> None:
    for text in ("label\nrefund\n", "row,colour\n1,red\n"):
        with pytest.raises(StudioError) as refusal:
            studio.labels.import_text(dataset, text)
        assert refusal.value.code == "columns-unclear"


def test_labels_go_out_in_two_formats_only(studio: Studio, dataset: str, tmp_path: Path) -> None:
    with pytest.raises(StudioError) as refusal:
        studio.labels.export_file(dataset, tmp_path / "labels.xlsx")
    assert refusal.value.code == "unknown-format"


# --- suggestions, before any model is asked ---


def test_it_says_how_many_rows_suggestions_wait_for(studio: Studio, dataset: str) -> None:
    assert "12 to go" in studio.labels.state(dataset).suggesting.unavailable_reason
    for row in range(1, 12):
        state = studio.labels.give(dataset, row, "refund")
    assert "1 to go" in state.suggesting.unavailable_reason
    state = studio.labels.give(dataset, 12, "refund")
    assert "two labels" in state.suggesting.unavailable_reason
    studio.labels.give(dataset, 14, "parcel")
    state = studio.labels.give(dataset, 16, "parcel")
    assert state.suggesting.unavailable_reason == "" and state.suggesting.due
    with pytest.raises(StudioError) as refusal:
        studio.labels.suggest(studio.datasets.add_text("text\n" + "\n".join(TEXTS)).id)
    assert refusal.value.code == "too-few-rows"
