"""Pairs and thumbs as rows: the shapes that people bring, what a row lacks, and pairs that are none."""

from typing import Any

import pytest

from studio.data.checks import check, usable_rows
from studio.data.formats import read_text
from studio.data.roles import infer
from studio.data.thumbs import thumb_of
from studio.tasks import TASKS, task_named

PAIR, THUMB = task_named("preference"), task_named("feedback")
TURN = {"role": "user", "content": "Where is it?"}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Where is it?", "chosen": "Here.", "rejected": "Gone."},
        {"prompt": [TURN], "chosen": [said("Here.")], "rejected": [said("Gone.")]},
        {"chosen": [TURN, said("Here.")], "rejected": [TURN, said("Gone.")]},
        {"messages": [TURN], "chosen": said("Here."), "rejected": said("Gone.")},
        {
            "conversations": [{"from": "human", "value": "Where is it?"}],
            "chosen": {"from": "gpt", "value": "Here."},
            "rejected": {"from": "gpt", "value": "Gone."},
        },
    ],
    ids=["texts", "turns", "whole conversations", "messages", "LLaMA-Factory"],
)
def test_pairs_come_in_many_shapes_and_are_read_as_one(row: dict[str, Any]) -> None:
    roles = {
        "prompt": "prompt",
        "messages": "messages",
        "conversations": "messages",
        "chosen": "chosen",
        "rejected": "rejected",
    }
    roles = {column: role for column, role in roles.items() if column in row}
    assert PAIR.missing(row, roles) == ""
    assert PAIR.text_of(row, roles) == "Where is it?" and PAIR.expected(row, roles) == "Here."
    assert [turn["content"] for turn in PAIR.prompt_of(row, roles)] == ["Where is it?"]
    assert PAIR.values(row, roles)["rejected"] == "Gone."


def test_a_pair_without_one_of_its_parts_says_which() -> None:
    roles = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
    row = {"prompt": "Hi", "chosen": "A", "rejected": "B"}
    assert PAIR.missing(row, roles) == ""
    for name in row:
        assert PAIR.missing({**row, name: " "}, roles) == name


def table(rows: str) -> Any:
    return read_text("prompt,chosen,rejected\n" + rows)


def test_pairs_that_are_equal_are_counted_named_and_not_trained_on() -> None:
    rows = "".join(
        f"Question number {n}?,A good answer {n},{'A good' if n in (3, 7) else 'Some bad'} answer {n}\n"
        for n in range(1, 13)
    )
    read = infer(table(rows), list(TASKS.values()))
    assert read.task.name == "preference"
    report = check(table(rows), read.task, read.matched.roles)
    problem = next(each for each in report.problems if each.kind == "equal-pair")
    assert (problem.rows, problem.count, problem.severity) == ((3, 7), 2, "error")
    assert report.usable == 10 and "two equal replies" in problem.message
    used = [number for number, _ in usable_rows(table(rows), read.task, read.matched.roles)]
    assert used == [1, 2, 4, 5, 6, 8, 9, 10, 11, 12]


@pytest.mark.parametrize(
    ("value", "thumb"),
    [
        (True, True),
        ("👍🏽", True),
        ("Thumbs up", True),
        (1, True),
        ("+1", True),
        (0, False),
        ("no", False),
        ("👎", False),
        (-1, False),
        ("three", None),
        (4, None),
        (None, None),
    ],
)
def test_thumbs_come_as_words_numbers_and_signs(value: Any, thumb: bool | None) -> None:
    assert thumb_of(value) is thumb


def test_thumbs_are_told_from_ratings_by_what_the_column_holds() -> None:
    head = "prompt,response,rating\n"
    rows = [(f"Question {n} about something?", f"Answer {n} that is long enough.") for n in range(20)]
    thumbs = read_text(head + "".join(f"{q},{a},{'up' if n % 2 else 'down'}\n" for n, (q, a) in enumerate(rows)))
    stars = read_text(head + "".join(f"{q},{a},{n % 5 + 1}\n" for n, (q, a) in enumerate(rows)))
    assert infer(thumbs, list(TASKS.values())).task.name == "feedback"
    assert infer(stars, list(TASKS.values())).task.name != "feedback"


def test_a_reply_without_a_thumb_is_not_used() -> None:
    roles = {"prompt": "prompt", "reply": "reply", "thumb": "thumb"}
    assert THUMB.missing({"prompt": "Hi", "reply": "Hello", "thumb": False}, roles) == ""
    assert THUMB.missing({"prompt": "Hi", "reply": "Hello", "thumb": None}, roles) == "thumb"
    assert THUMB.missing({"prompt": "Hi", "reply": "", "thumb": True}, roles) == "reply"


def test_a_conversation_that_holds_the_better_reply_too_does_not_give_it_away() -> None:
    asked, said = {"role": "user", "content": "When?"}, {"role": "assistant", "content": "At nine."}
    row = {
        "prompt": "When?",
        "chosen": [asked, said],
        "rejected": [asked, {"role": "assistant", "content": "No."}],
        "messages": [asked, said],
    }
    for roles in ({name: name for name in row}, {name: name for name in row if name != "prompt"}):
        assert task_named("preference").turns(row, roles) == [asked, said], "as in UltraFeedback"
    before = {**row, "prompt": "And on Sundays?", "messages": [asked, said]}
    turns = task_named("preference").turns(before, {name: name for name in row})
    assert [turn["content"] for turn in turns] == ["When?", "At nine.", "And on Sundays?", "At nine."]
