"""Rows made from others: honest, marked, and never in validation or test."""

import json
import random
from typing import Any

import pytest

from studio.data.augment import AUGMENTERS, augmenter_named
from studio.data.checks import check
from studio.data.formats import read_text
from studio.data.roles import match
from studio.data.splits import Splitter
from studio.data.synthetic import MADE_BY, MADE_FROM, with_synthetic
from studio.data.table import Row, Table
from studio.schema.dataset import SplitSpec
from studio.schema.errors import StudioError
from tests.unit.test_data_planted import CHAT, LABELLED, PAIR, SORT, as_table, chat_rows, label_rows

SPELLING, PARAPHRASE = AUGMENTERS["spelling"], AUGMENTERS["paraphrase"]


def made_of(row: Row, column: str, number: int) -> Row:
    text = SPELLING.augment(row[column], random.Random(number))
    return {**row, column: text or f"{row[column]} again", MADE_BY: "spelling noise", MADE_FROM: row[column]}


def with_one_of_each(rows: list[Row], column: str) -> Table:
    return with_synthetic(as_table(rows), [made_of(row, column, number) for number, row in enumerate(rows)])


@pytest.mark.parametrize(
    "spec",
    [SplitSpec(), SplitSpec(seed=7, validation_share=0.3, test_share=0.2), SplitSpec(stable_splits=True)],
    ids=["usual", "large shares", "stable"],
)
@pytest.mark.parametrize("kind", ["chat", "labels"])
def test_a_made_row_follows_its_source_and_is_never_judged_by(kind: str, spec: SplitSpec) -> None:
    rows, column, task, roles = (
        (chat_rows(), "question", CHAT, PAIR) if kind == "chat" else (label_rows(), "text", SORT, LABELLED)
    )
    rows = list({row[column]: row for row in rows}.values())
    plain = Splitter(as_table(rows), task, roles, spec).assign()
    division = Splitter(with_one_of_each(rows, column), task, roles, spec).assign()
    assert {number: part for number, part in division.splits.items() if number <= len(rows)} == plain.splits
    for number in range(1, len(rows) + 1):
        expected = "train" if plain.splits[number] == "train" else None
        assert division.splits.get(number + len(rows)) == expected
    assert division.counts.train == 2 * plain.counts.train
    assert (division.counts.validation, division.counts.test) == (plain.counts.validation, plain.counts.test)
    left_out = plain.counts.validation + plain.counts.test
    assert f"{left_out} synthetic rows are left out" in division.counts.because


def test_a_made_row_keeps_to_its_sources_group_and_time_and_part() -> None:
    rows = [
        {**row, "who": f"customer {number % 30}", "when": f"2024-01-{1 + number % 28:02}", "split": part}
        for number, row in enumerate(chat_rows()[:120])
        for part in [("train", "validation")[number % 4 == 0]]
    ]
    for spec in (SplitSpec(group_column="who"), SplitSpec(time_column="when"), SplitSpec(split_column="split")):
        division = Splitter(with_one_of_each(rows, "question"), CHAT, PAIR, spec).assign()
        held = [number for number in range(1, 121) if division.splits[number] != "train"]
        assert held
        for number in held:
            assert number + 120 not in division.splits
        assert all(division.splits[number] == "train" for number in division.splits if number > 120)


def test_a_made_row_whose_source_was_changed_or_removed_is_left_out() -> None:
    rows = chat_rows()[:100]
    table = with_one_of_each(rows, "question").rows()
    table[4]["question"] = "Something else altogether?"
    division = Splitter(as_table(table), CHAT, PAIR).assign()
    assert 105 not in division.splits and 5 in division.splits


def test_made_rows_are_no_near_copies_to_the_doctor() -> None:
    rows = chat_rows()
    table = with_one_of_each(rows, "answer")
    assert check(table, CHAT, PAIR).problems == ()
    unmarked = as_table([{"question": row["question"], "answer": row["answer"]} for row in table.rows()])
    assert "near-duplicate" in {each.kind for each in check(unmarked, CHAT, PAIR).problems}


def test_the_marks_are_never_taken_for_a_label_or_a_text() -> None:
    rows = [{"sentence": row["text"], "kind of it": row["label"]} for row in label_rows()[:80]]
    made = [{**made_of(row, "sentence", n), MADE_BY: "ab"[n % 2]} for n, row in enumerate(rows)]
    table = with_synthetic(as_table(rows), made)
    assert match(table, SORT).roles == {"sentence": "text", "kind of it": "label"}


def test_a_table_with_made_rows_is_read_from_any_row_on() -> None:
    rows = chat_rows()[:30]
    table = with_one_of_each(rows, "question")
    assert table.columns == ("question", "answer", MADE_BY, MADE_FROM) and len(table) == 60
    for start in (1, 29, 30, 31, 45, 60):
        assert [number for number, _ in table.numbered(start)] == list(range(start, 61))
        assert table.rows(start) == table.rows()[start - 1 :]
    assert table.row(3)[MADE_BY] is None and table.row(33)[MADE_FROM] == rows[2]["question"]


def test_spelling_noise_changes_a_word_or_two_and_nothing_else() -> None:
    for number, row in enumerate(chat_rows()):
        before = str(row["question"])
        after = SPELLING.augment(before, random.Random(number))
        assert after and after != before
        assert SPELLING.augment(before, random.Random(number)) == after
        one, other = before.split(), after.split()
        assert len(one) == len(other)
        different = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
        assert 1 <= len(different) <= max(1, round(len(one) / 12))
        assert all(a[0] == b[0] or not a[0].isalpha() for a, b in different)


@pytest.mark.parametrize("text", ["", "OK", "12 34 56", "ABCD EFGH IJKL", "one of us"])
def test_there_is_no_slip_where_no_word_is_long_enough(text: str) -> None:
    assert SPELLING.augment(text, random.Random(1)) == ""


def test_a_reply_that_is_no_honest_paraphrase_is_thrown_away() -> None:
    text = "My order of 12 lamps arrived on Monday, and two of them are broken."
    good = "Two of the 12 lamps that I ordered were broken when they arrived on Monday."
    assert PARAPHRASE.parse_reply(f'"{good}"\n\nI hope this helps.', text) == good
    for reply in (
        text,
        "",
        "Sure, here is a paraphrase: two of 12 lamps that arrived on Monday are broken.",
        "Broken lamps.",
        good.replace("12", "20"),
        "I am a language model and would love to help with your garden, in 12 ways.",
        f"{good} " * 4,
    ):
        assert PARAPHRASE.parse_reply(reply, text) == ""
    assert PARAPHRASE.prompt("word " * 400) == ""


def test_an_unknown_way_is_refused_with_the_nearest() -> None:
    with pytest.raises(StudioError, match="speling"):
        augmenter_named("speling")


def test_a_conversation_is_compared_by_what_people_say_in_it() -> None:
    def talk(question: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": question}, {"role": "assistant", "content": "Yes."}]

    rows: list[Row] = [{"messages": talk(f"Is lamp number {number} still there?")} for number in range(60)]
    made = [
        {
            "messages": talk(f"Is lmap number {number} still there?"),
            MADE_BY: "spelling noise",
            MADE_FROM: f"Is lamp number {number} still there?",
        }
        for number in range(60)
    ]
    table = read_text("\n".join(json.dumps(row) for row in rows + made))
    division = Splitter(table, CHAT, {"messages": "messages"}).assign()
    assert division.counts.train == 2 * sum(part == "train" for number, part in division.splits.items() if number <= 60)
    assert all(division.splits[number] == "train" for number in division.splits if number > 60)
