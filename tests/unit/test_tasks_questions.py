"""Rows of questions and passages without a tokenizer, and the scores as the official SQuAD script counts them."""

import json
from pathlib import Path
from typing import Any

import pytest

from studio.data.checks import check, rows_of
from studio.data.formats import read_text
from studio.data.roles import infer
from studio.metrics.answers import exact, f1, observe
from studio.tasks import TASKS, task_named
from studio.tasks.question_answering import answer_span, answers_of
from studio.tasks.text_to_text import split_pair

TASK = task_named("question-answering")


@pytest.mark.parametrize(
    ("said", "right", "is_exact", "shared"),
    [
        ("The Eiffel Tower!", "eiffel tower", 1, 1.0),
        ("tower", "Eiffel tower", 0, 2 / 3),
        ("Paris", "London", 0, 0.0),
        ("", "", 1, 1.0),
        ("Paris", "", 0, 0.0),
        ("in the year 1998", "1998", 0, 0.5),
    ],
)
def test_answers_are_compared_without_case_signs_and_articles(
    said: str, right: str, is_exact: int, shared: float
) -> None:
    assert exact(said, right) == is_exact and f1(said, right) == pytest.approx(shared)


def test_of_several_right_answers_the_nearest_counts_and_no_answer_is_right_where_there_is_none() -> None:
    found = observe(["nine", "", "nine"], [["at nine", "Nine"], [], []])
    assert found["exact"].tolist() == [1, 1, 0] and found["f1"].tolist() == [1, 1, 0]


def test_scores_are_those_that_the_official_script_gave() -> None:
    """squad_scores.json has what evaluate-v2.0.py said of each of these answers."""
    told = json.loads((Path(__file__).parent / "squad_scores.json").read_text(encoding="utf-8"))
    found = observe([each["said"] for each in told], [each["accepted"] for each in told])
    for each, exactly, shared in zip(told, found["exact"], found["f1"], strict=True):
        assert (exactly, shared) == (each["exact"], pytest.approx(each["f1"], abs=1e-8)), each
    assert len(told) == 50


@pytest.mark.parametrize(
    ("cell", "texts", "starts"),
    [
        ("at nine", ["at nine"], []),
        ({"text": ["nine", "at nine"], "answer_start": [12, 9]}, ["nine", "at nine"], [12, 9]),
        ('{"text": ["nine"], "answer_start": [12]}', ["nine"], [12]),
        ({"text": [], "answer_start": []}, [], []),
        (["nine", "ten"], ["nine", "ten"], []),
        (9, ["9"], []),
    ],
)
def test_answers_come_in_many_shapes(cell: Any, texts: list[str], starts: list[int]) -> None:
    assert answers_of(cell) == {"texts": texts, "starts": starts}


def test_an_empty_cell_is_no_answer_that_is_missing_and_an_empty_list_is_one_that_is_not_there() -> None:
    roles = {"q": "question", "c": "context", "a": "answer"}
    row = {"q": "When?", "c": "At nine.", "a": None}
    assert TASK.missing(row, roles) == "answer"
    assert TASK.missing({**row, "a": {"text": [], "answer_start": []}}, roles) == ""
    assert TASK.missing({**row, "a": "nine", "c": ""}, roles) == "context"


def test_the_answer_is_looked_for_where_the_row_says_and_as_a_word_of_its_own() -> None:
    context = "The then new hen sat. Then he left, and he sang."
    assert answer_span(context, {"texts": ["he"], "starts": []}) == (27, 29)
    assert answer_span(context, {"texts": ["he"], "starts": [40]}) == (40, 42)
    assert answer_span(context, {"texts": ["HE LEFT"], "starts": []}) == (27, 34)
    assert answer_span(context, {"texts": ["she"], "starts": []}) is None


def test_question_and_passage_are_parted_by_the_first_empty_line() -> None:
    assert split_pair("When?\n\nAt nine.\n\nOr ten.") == ("When?", "At nine.\n\nOr ten.")
    assert split_pair("When?\nAt nine.") == ("When?", "At nine.")
    assert split_pair("When?") == ("When?", "")


def test_squad_answers_that_do_not_stand_in_their_passage_are_counted_named_and_not_trained_on() -> None:
    rows = [
        {
            "id": str(n),
            "question": f"When does shop {n} open?",
            "context": f"Shop number {n} opens at nine o'clock.",
            "answers": {"text": ["noon" if n in (2, 5) else "nine"], "answer_start": [24]},
        }
        for n in range(1, 13)
    ]
    table = read_text("\n".join(json.dumps(row) for row in rows))
    read = infer(table, list(TASKS.values()))
    assert read.task.name == "question-answering"
    report = check(table, read.task, read.matched.roles)
    problem = next(each for each in report.problems if each.kind == "answer-not-found")
    assert (problem.rows, problem.count, report.usable) == ((2, 5), 2, 10)


def test_of_several_answers_the_first_that_stands_in_the_passage_is_the_one_that_is_learned() -> None:
    context = "The shop opens at nine o'clock."
    assert answer_span(context, {"texts": ["noon", "at nine"], "starts": []}) == (15, 22)
    assert answer_span(context, {"texts": ["noon", "nine"], "starts": [3, 18]}) == (18, 22)
    assert TASK.inconsistency({"context": context, "answer": {"texts": ["noon", "NINE"], "starts": [3, 18]}}) == ""
    assert answer_span(context, {"texts": ["noon", "ten"], "starts": [3]}) is None
    assert answer_span(context, {"texts": [], "starts": []}) is None


def test_places_that_are_no_numbers_are_looked_for_anew() -> None:
    answers = answers_of({"text": ["nine"], "answer_start": ["18"]})
    assert answers is not None and answer_span("It opens at nine.", answers) == (12, 16)


def shops(lost: dict[int, Any], plain: Any) -> list[dict[str, Any]]:
    """Twelve rows with an answer each, some of them another one."""
    return [
        {
            "question": f"When does shop {n} open?",
            "context": f"Shop number {n} opens at nine o'clock.",
            "answer": lost.get(n, plain),
        }
        for n in range(1, 13)
    ]


ROLES = {"question": "question", "context": "context", "answer": "answer"}


def told(rows: list[dict[str, Any]], **how: Any) -> Any:
    report = check(read_text("\n".join(json.dumps(row) for row in rows)), TASK, ROLES, **how)
    found = [each for each in report.problems if each.kind == "answer-not-found"]
    return [(each.severity, each.rows, each.count) for each in found], report.usable, found


def test_answers_without_places_that_do_not_stand_in_their_passage_are_named_and_stay_usable() -> None:
    """Which model will learn from them is not known yet: for one that writes they are no fault."""
    found, usable, problems = told(shops({3: "noon", 7: "in the morning"}, "nine"))
    assert (found, usable) == ([("warning", (3, 7), 2)], 12)
    assert "an encoder skips such rows" in problems[0].message and "A generative model can" in problems[0].why
    assert told(shops({}, "nine"))[0] == [] and told(shops({4: "Nine"}, "nine"))[0] == []


def test_answers_with_and_without_places_are_told_apart_and_left_out_together() -> None:
    lost = {2: {"text": ["noon"], "answer_start": [3]}, 3: "noon", 5: {"text": [], "answer_start": []}}
    rows = shops(lost, {"text": ["nine"], "answer_start": [24]})
    assert told(rows)[:2] == ([("error", (2,), 1), ("warning", (3,), 1)], 11)
    found, usable, _ = told(rows, left_out=["answer-not-found"])
    assert ([each[0] for each in found], usable) == (["note", "note"], 10)
    table = read_text("\n".join(json.dumps(row) for row in rows))
    assert rows_of(table, TASK, ROLES, ["answer-not-found"]) == {"answer-not-found": [2, 3]}


@pytest.mark.parametrize(
    "cell",
    [
        "{'text': ['Bonn'], 'answer_start': [3]}",
        "{'text': array(['Bonn'], dtype=object), 'answer_start': array([3], dtype=int32)}",
    ],
    ids=["Python", "NumPy"],
)
def test_answers_that_pandas_put_into_a_csv_are_read_and_not_learned_as_they_are_written(cell: str) -> None:
    assert answers_of(cell) == {"texts": ["Bonn"], "starts": [3]}
