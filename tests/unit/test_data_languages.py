"""The language of a row: what stands out is found, and what is meant to be so is left alone."""

import json
import random

from studio.data.checks import check, rows_of
from studio.data.formats import read, read_text
from studio.data.languages import language_of, prose
from studio.data.samples import SAMPLES, sample_named, sample_path
from studio.data.table import Row
from studio.tasks import task_named
from tests.unit.test_data_planted import CHAT, FOREIGN, PAIR, as_table, chat_rows

CODES = ["de", "fr", "es", "it", "pt", "nl", "pl", "ru", "zh", "sv"]


def found(rows: list[Row], **about: object) -> list[int]:
    return rows_of(as_table(rows), CHAT, PAIR, ["wrong-language"], **about)["wrong-language"]


def test_a_sentence_is_told_by_its_language() -> None:
    assert [language_of(prose(text)) for text in FOREIGN] == CODES


def test_short_texts_code_and_addresses_get_no_verdict() -> None:
    for text in (
        "Merci beaucoup !",
        "https://example.com/der/die/das/und/noch/viel/mehr/davon/hier",
        "12 34 56 " * 20,
        "```\nfor der in die: das(und, oder, aber, doch, noch)\n```",
        '{"nombre": "usuario", "valor": 3}' * 3,
    ):
        assert prose(text) == ""


def test_no_sample_has_a_row_in_another_language() -> None:
    for name in SAMPLES:
        table, task = read(sample_path(name)), task_named(sample_named(name).task)
        from studio.data.roles import match

        roles = match(table, task).roles
        assert "wrong-language" not in {each.kind for each in check(table, task, roles).problems}


def test_the_finding_names_the_languages_and_its_rows() -> None:
    rows = chat_rows()
    rows[40]["answer"], rows[90]["answer"] = FOREIGN[0], FOREIGN[0]
    rows[100]["question"] = FOREIGN[1]
    report = check(as_table(rows), CHAT, PAIR)
    [problem] = [each for each in report.problems if each.kind == "wrong-language"]
    assert problem.rows == (41, 91, 101)
    assert "German (2) and French (1)" in problem.message and "English" in problem.message
    assert report.usable == len(rows)


def test_a_file_in_two_languages_is_meant_so() -> None:
    rows = chat_rows()
    for index in range(0, len(rows), 2):
        rows[index] = {**rows[index], "answer": FOREIGN[index % 10]}
    assert found(rows) == []


def test_a_translation_has_a_language_on_each_side() -> None:
    rows = [{"question": row["answer"], "answer": f"{FOREIGN[0]} {number}"} for number, row in enumerate(chat_rows())]
    assert found(rows) == []
    rows[70]["answer"] = chat_rows()[70]["answer"]
    assert found(rows) == [71]


def test_the_same_is_found_in_conversations() -> None:
    rows = chat_rows()
    rows[10]["answer"] = FOREIGN[2]
    lines = [
        {"messages": [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]}
        for row in rows
    ]
    table = read_text("\n".join(json.dumps(line) for line in lines))
    assert rows_of(table, CHAT, {"messages": "messages"}, ["wrong-language"])["wrong-language"] == [11]


def test_rows_far_down_are_found_too_wherever_they_stand() -> None:
    rows = [dict(row, question=f"{row['question']} {turn}") for turn in range(8) for row in chat_rows()]
    places = sorted(random.Random(2).sample(range(len(rows)), 12))
    for at, place in enumerate(places):
        rows[place] = {**rows[place], "answer": FOREIGN[at % 10]}
    assert found(rows) == [place + 1 for place in places]
