"""Columns find their roles: by name, then by content, and by what a person says; what is unclear is asked."""

from pathlib import Path
from typing import Any

import pytest

from studio.data.formats import read_text
from studio.data.roles import infer, match, parse_map
from studio.data.samples import SAMPLES, sample_path
from studio.data.table import Row, Table
from studio.schema.errors import StudioError
from studio.tasks import TASKS, task_named

LONG = "This is a text of some length, number {}, as people write them when they have something to say."
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
SHAREGPT = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]


def table(**columns: Any) -> Table:
    """Twenty rows; a column is a list that repeats, or a text with a place for the row's number."""
    import json

    rows: list[Row] = []
    for number in range(20):
        row = {}
        for name, values in columns.items():
            row[name.replace("_", " ")] = (
                values.format(number) if isinstance(values, str) else values[number % len(values)]
            )
        rows.append(row)
    return read_text("\n".join(json.dumps(row) for row in rows))


def read_as(rows: Table, **explicit: str) -> tuple[str, dict[str, str]]:
    found = infer(rows, TASKS.values(), explicit)
    return found.task.name, found.matched.roles


@pytest.mark.parametrize(
    ("columns", "task", "roles"),
    [
        ({"question": LONG, "answer": LONG}, "chat", {"question": "prompt", "answer": "reply"}),
        ({"question": LONG, "answer": ["yes", "no"]}, "chat", {"question": "prompt", "answer": "reply"}),
        ({"prompt": LONG, "response": LONG}, "chat", {"prompt": "prompt", "response": "reply"}),
        ({"prompt": LONG, "completion": LONG}, "chat", {"prompt": "prompt", "completion": "reply"}),
        (
            {"instruction": LONG, "input": ["", "a text"], "output": LONG},
            "chat",
            {"instruction": "prompt", "input": "context", "output": "reply"},
        ),
        (
            {"instruction": LONG, "input": [""], "output": LONG, "system": LONG, "history": [[["a", "b"]]]},
            "chat",
            {"instruction": "prompt", "input": "context", "output": "reply", "system": "system", "history": "history"},
        ),
        (
            {"instruction": LONG, "output": LONG, "history": [[], [["a", "b"]]]},
            "chat",
            {"instruction": "prompt", "output": "reply", "history": "history"},
        ),
        ({"instruction": LONG, "output": LONG, "history": LONG}, "chat", {"instruction": "prompt", "output": "reply"}),
        ({"messages": [TURNS], "history": [[["a", "b"]]]}, "chat", {"messages": "messages"}),
        (
            {"conversations": [SHAREGPT[:1]], "chosen": [SHAREGPT[1]], "rejected": [SHAREGPT[1]]},
            "preference",
            {"conversations": "messages", "chosen": "chosen", "rejected": "rejected"},
        ),
        (
            {"conversations": [SHAREGPT], "tools": ['[{"name": "look_up", "parameters": {}}]']},
            "chat",
            {"conversations": "messages", "tools": "tools"},
        ),
        ({"input": LONG, "output": LONG}, "chat", {"input": "prompt", "output": "reply"}),
        (
            {"instruction": ["Sum up.", "Shorten."], "note": LONG, "summary": LONG},
            "chat",
            {"instruction": "prompt", "note": "context", "summary": "reply"},
        ),
        ({"article": LONG, "summary": LONG}, "summarization", {"article": "text", "summary": "summary"}),
        (
            {"source_text": LONG, "translation": LONG},
            "summarization",
            {"source text": "text", "translation": "translation"},
        ),
        (
            {"context": LONG, "question": LONG, "answer": LONG},
            "question-answering",
            {"context": "context", "question": "question", "answer": "answer"},
        ),
        ({"messages": [TURNS]}, "chat", {"messages": "messages"}),
        ({"conversations": [SHAREGPT], "id": "c{}"}, "chat", {"conversations": "messages"}),
        ({"messages": [TURNS], "label": [True, False]}, "feedback", {"messages": "messages", "label": "thumb"}),
        (
            {"prompt": LONG, "chosen": LONG, "rejected": LONG},
            "preference",
            {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"},
        ),
        ({"chosen": [TURNS], "rejected": [TURNS]}, "preference", {"chosen": "chosen", "rejected": "rejected"}),
        ({"text": LONG}, "completion", {"text": "text"}),
        ({"prompt": LONG, "messages": [TURNS]}, "chat", {"messages": "messages"}),
        ({"talk": [TURNS]}, "chat", {"talk": "messages"}),
        ({"text": LONG, "label": ["a", "b"]}, "classification", {"text": "text", "label": "label"}),
        ({"text": LONG, "label": [0, 1]}, "classification", {"text": "text", "label": "label"}),
        (
            {"text": LONG, "label": [0, 1], "label_text": ["a", "b"]},
            "classification",
            {"text": "text", "label text": "label"},
        ),
        ({"message": LONG, "intent": ["a", "b"]}, "classification", {"message": "text", "intent": "label"}),
        ({"review": LONG, "sentiment": ["a", "b"]}, "classification", {"review": "text", "sentiment": "label"}),
        (
            {"Review_Text": LONG, "Final_Category": ["a", "b"]},
            "classification",
            {"Review Text": "text", "Final Category": "label"},
        ),
        ({"remark": LONG, "team": ["a", "b", "c"]}, "classification", {"remark": "text", "team": "label"}),
        (
            {"ticket_id": "T-{}", "date": "2024-01-{}", "remark": LONG, "team": ["a", "b"]},
            "classification",
            {"remark": "text", "team": "label"},
        ),
        ({"text": LONG, "target": ["a", "b"]}, "classification", {"text": "text", "target": "label"}),
        ({"text": LONG, "target": LONG + " So."}, "chat", {"text": "prompt", "target": "reply"}),
        ({"question": LONG, "answer": LONG, "category": ["a", "b"]}, "chat", {"question": "prompt", "answer": "reply"}),
    ],
    ids=str,
)
def test_the_usual_shapes_are_known_without_a_word(columns: dict[str, Any], task: str, roles: dict[str, str]) -> None:
    found, matched = read_as(table(**columns))
    assert (found, matched) == (task, roles)


@pytest.mark.parametrize("name", SAMPLES)
def test_each_sample_is_read_as_the_task_it_is_for(name: str) -> None:
    from studio.data.formats import read

    assert infer(read(sample_path(name)), TASKS.values()).task.name == SAMPLES[name].task


@pytest.mark.parametrize(
    ("columns", "task", "roles"),
    [
        ({"Nr": [1, 2], "Kundenfrage": LONG, "Unsere Antwort": LONG}, "chat", {"Kundenfrage": "prompt"}),
        ({"Question": LONG, "Réponse": LONG}, "chat", {"Question": "prompt", "Réponse": "reply"}),
        ({"pregunta": LONG, "respuesta": LONG}, "chat", {"pregunta": "prompt", "respuesta": "reply"}),
        ({"问题": LONG, "回答": LONG}, "chat", {"问题": "prompt", "回答": "reply"}),
        ({"Kommentar": LONG, "Kategorie": ["a", "b"], "Region": ["x", "y"]}, "classification", {"Kategorie": "label"}),
        ({"avis": LONG, "catégorie": ["a", "b"], "région": ["x", "y"]}, "classification", {"avis": "text"}),
        ({"reseña": LONG, "categoría": ["a", "b"], "región": ["x", "y"]}, "classification", {"categoría": "label"}),
        ({"评论": LONG, "类别": ["a", "b"], "地区": ["x", "y"]}, "classification", {"评论": "text", "类别": "label"}),
    ],
    ids=str,
)
def test_names_in_the_languages_of_the_page_are_known(
    columns: dict[str, Any], task: str, roles: dict[str, str]
) -> None:
    found, matched = read_as(table(**columns))
    assert found == task and len(matched) == 2
    assert matched.items() >= roles.items()


def test_the_reason_is_said_in_words() -> None:
    found = infer(table(question=LONG, answer=LONG), TASKS.values())
    assert found.reason == "Read as chat: question is the prompt and answer is the reply."
    assert found.matched.reasons["answer"] == "by its name, answer"
    by_content = match(table(remark=LONG, team=["a", "b"]), task_named("classification"))
    assert "2 different" in by_content.reasons["team"] and "longest" in by_content.reasons["remark"]


@pytest.mark.parametrize(
    "columns",
    [
        {"foo": LONG, "bar": LONG},
        {"foo": [1, 2], "bar": [3, 4]},
        {"remark": LONG},
        {"remark": LONG, "team": ["a", "b"], "region": ["x", "y"]},
        {"id": "T-{}", "date": "2024-01-{}"},
    ],
    ids=str,
)
def test_what_is_unclear_is_asked_for_with_the_columns_listed(columns: dict[str, Any]) -> None:
    with pytest.raises(StudioError) as caught:
        infer(table(**columns), TASKS.values())
    assert caught.value.code == "columns-unclear" and caught.value.field == "map"
    assert all(name in str(caught.value.given) for name in columns)
    assert "--map COLUMN=" in caught.value.hint


def test_a_task_that_lacks_one_column_says_which_role_is_open() -> None:
    with pytest.raises(StudioError) as caught:
        match(table(question=LONG, bar=[1, 2, 3]), task_named("chat"))
    assert "which column is the reply" in caught.value.what and "--map COLUMN=reply" in caught.value.hint


def test_rows_without_labels_are_matched_as_far_as_they_go() -> None:
    found = match(table(remark=LONG), task_named("classification"), partial=True)
    assert found.roles == {"remark": "text"} and not found.complete


def test_numbers_that_count_up_are_no_texts_whatever_their_name_is() -> None:
    rows = table(ticket=list(range(1001, 1021)), remark=LONG)
    assert match(rows, task_named("classification"), partial=True).roles == {"remark": "text"}
    assert match(table(ticket=LONG), task_named("classification"), partial=True).roles == {"ticket": "text"}


def test_what_a_person_says_comes_first() -> None:
    rows = table(question=LONG, answer=LONG, better=LONG, team=["a", "b"])
    assert read_as(rows, better="reply")[1] == {"better": "reply", "question": "prompt"}
    assert read_as(rows, question="text", team="label") == ("classification", {"question": "text", "team": "label"})
    assert read_as(table(instruction=LONG, input=LONG, output=LONG), input="none")[1] == {
        "instruction": "prompt",
        "output": "reply",
    }


@pytest.mark.parametrize(
    ("explicit", "words"),
    [
        ({"qestion": "prompt"}, "Did you mean question"),
        ({"question": "promt"}, "Did you mean prompt"),
        ({"question": "prompt", "answer": "prompt"}, "Two columns"),
    ],
    ids=str,
)
def test_a_mapping_that_makes_no_sense_is_refused(explicit: dict[str, str], words: str) -> None:
    with pytest.raises(StudioError, match=words) as caught:
        match(table(question=LONG, answer=LONG), task_named("chat"), explicit)
    assert (caught.value.code, caught.value.field) == ("bad-setting", "map")


def test_a_mapping_is_written_as_column_and_role() -> None:
    assert parse_map(["question=prompt", " a = b =reply", "id=none"]) == {
        "question": "prompt",
        "a = b": "reply",
        "id": "none",
    }
    for wrong in ("question", "=prompt"):
        with pytest.raises(StudioError, match="COLUMN=ROLE"):
            parse_map([wrong])


def test_rows_sorted_by_their_label_are_recognised_all_the_same(tmp_path: Path) -> None:
    lines = "".join(f"{LONG.format(number)}\t{'good' if number < 900 else 'bad'}\n" for number in range(1800))
    assert read_as(read_text("remark\tkind_of_it\n" + lines)) == (
        "classification",
        {"remark": "text", "kind_of_it": "label"},
    )
