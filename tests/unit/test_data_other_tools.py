"""Files that other tools write are read without a mapping: LLaMA-Factory, hh-rlhf, pandas, and the pairs of GLUE."""

import json
from pathlib import Path
from typing import Any

import pandas
import pytest
from transformers import AutoTokenizer

from studio.data.checks import check
from studio.data.formats import read, read_text
from studio.data.roles import infer, match
from studio.data.table import Table
from studio.models.starters.install import fetch_starter
from studio.schema.dataset import CheckReport
from studio.tasks import TASKS, Encoding, task_named
from studio.tasks.conversation import messages_of, transcript_of
from tests.said import Call, caller

CHAT, PREFERENCE = task_named("chat"), task_named("preference")
IMAGE = {"type": "image_url", "value": "photos/1.jpg"}


@pytest.fixture
def call(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run a command of the studio with a data folder of its own."""
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    return caller(capfd)


def as_lines(rows: list[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text(as_lines(rows), encoding="utf-8")
    return path


def report_of(rows: list[dict[str, Any]]) -> CheckReport:
    table = read_text(as_lines(rows))
    inferred = infer(table, TASKS.values())
    return check(table, inferred.task, inferred.matched.roles)


# --- LLaMA-Factory's messages ---


def message(role: str, *parts: tuple[str, str], **more: Any) -> dict[str, Any]:
    """A message as in LLaMA-Factory's data/v1_sft_demo.jsonl; `parts` are types and values."""
    return {"role": role, "content": [{"type": type_, "value": value} for type_, value in parts], **more}


def conversation(n: int, weight: float = 1.0) -> list[dict[str, Any]]:
    return [
        message("system", ("text", "You are Nora."), loss_weight=0.0),
        message("user", ("text", f"Where is parcel {n}?"), loss_weight=0.0),
        message("assistant", ("text", f"Look for {n} "), ("text", "yourself."), loss_weight=0.0),
        message("user", ("text", "Be kinder."), loss_weight=0.0),
        message("assistant", ("text", f"Parcel {n} waits at the depot."), loss_weight=weight),
    ]


def test_parts_are_joined_and_weight_0_marks_a_reply_that_is_not_trained_on() -> None:
    turns = messages_of(conversation(7))
    assert turns == [
        {"role": "system", "content": "You are Nora."},
        {"role": "user", "content": "Where is parcel 7?"},
        {"role": "assistant", "content": "Look for 7 yourself.", "weight": 0},
        {"role": "user", "content": "Be kinder."},
        {"role": "assistant", "content": "Parcel 7 waits at the depot."},
    ]


def test_only_replies_of_weight_1_are_trained_on() -> None:
    tokenizer = AutoTokenizer.from_pretrained(fetch_starter("starter-chat"))
    encoding = Encoding(tokenizer, {"messages": "messages"}, max_length=1000)
    example = CHAT.encode({"messages": conversation(7)}, encoding)
    pairs = zip(example.input_ids, example.learned, strict=True)
    learned = tokenizer.decode([token for token, is_learned in pairs if is_learned])
    assert learned.strip() == "Parcel 7 waits at the depot.<|im_end|>"
    assert "Look for 7 yourself." in tokenizer.decode(example.input_ids)


def test_reasoning_becomes_the_thought_of_the_reply() -> None:
    turns = [
        message("user", ("text", "2 + 2?")),
        message("assistant", ("reasoning", "Two and two."), ("text", "4")),
    ]
    assert (messages_of(turns) or [])[1]["content"] == "<think>\nTwo and two.\n</think>\n\n4"
    by_key = [turns[0], {"role": "assistant", "content": "4", "reasoning_content": "Two and two."}]
    assert messages_of(turns) == messages_of(by_key)


def test_calls_of_tools_are_read_from_their_parts() -> None:
    written = json.dumps({"name": "weather", "arguments": {"city": "Bonn"}})
    turns = [message("user", ("text", "Rain?")), message("assistant", ("tool_call", written))]
    reply = (messages_of(turns) or [])[1]
    assert reply["content"] == "" and reply["tool_calls"][0]["function"] == json.loads(written)
    for broken in ("{not json", '{"city": "Bonn"}', "[]"):
        assert messages_of([turns[0], message("assistant", ("tool_call", broken))]) is None


@pytest.mark.parametrize("type_", ["image_url", "tool_call", "reasoning"])
def test_a_part_that_the_user_can_not_have_is_not_dropped_in_silence(type_: str) -> None:
    assert messages_of([message("user", ("text", "Look:"), (type_, '{"name": "weather"}'))]) is None


@pytest.mark.parametrize("type_", [None, 7, ["text"], {"a": 1}])
def test_a_type_that_is_no_name_makes_a_part_unreadable(type_: Any) -> None:
    assert messages_of([{"role": "user", "content": [{"type": type_, "text": "hi"}]}]) is None


def test_other_weights_are_trained_on_as_1_and_named() -> None:
    weights = [1.0, 1, 0, 0.0, 1e-9, 0.5, 2, -1]
    rows = [{"messages": conversation(n, weights[n % 8])} for n in range(24)]
    report = report_of(rows)
    problem = next(each for each in report.problems if each.kind == "fractional-weight")
    assert (problem.severity, problem.rows) == ("warning", (6, 7, 14, 15, 22, 23)) and report.usable == 24
    assert "Row 6 has 0.5." in problem.message and "Expected: 0" in problem.message
    assert [messages_of(row["messages"])[-1].get("weight") for row in rows[:8]] == [  # type: ignore[index]
        *(None, None, 0, 0, 0, 0.5, 2, 0),
    ]


def test_pairs_in_chosen_messages_and_rejected_messages_are_preference_pairs() -> None:
    rows = []
    for n in range(12):
        asked = message("user", ("text", f"Where is parcel {n}?"), loss_weight=0.0)
        replies = [message("assistant", ("text", f"{text} {n}"), loss_weight=1.0) for text in ("Here:", "Gone:")]
        rows.append({"chosen_messages": [asked, replies[0]], "rejected_messages": [asked, replies[1]]})
    report = report_of(rows)
    assert (report.task, report.columns) == (
        "preference",
        {"chosen_messages": "chosen", "rejected_messages": "rejected"},
    )
    assert report.usable == 12 and not report.problems
    values = PREFERENCE.values(rows[3], {"chosen_messages": "chosen", "rejected_messages": "rejected"})
    assert values["prompt"] == [{"role": "user", "content": "Where is parcel 3?"}]
    assert (values["chosen"], values["rejected"]) == ("Here: 3", "Gone: 3")


def test_the_command_line_checks_such_a_file(call: Call, tmp_path: Path) -> None:
    answer = call("check", write(tmp_path / "v1.jsonl", [{"messages": conversation(n)} for n in range(20)]), "--json")
    assert answer.status == 0, answer.err
    report = answer.document
    assert (report["task"], report["rows"], report["usable"], report["problems"]) == ("chat", 20, 20, [])


def test_unreadable_messages_are_refused_with_the_column_the_row_and_an_example(call: Call, tmp_path: Path) -> None:
    rows = [{"messages": [message("user", ("text", "Who?")), message("assistant", ("text", "A cat"))]}] * 2
    shown = message("user", ("text", "Who is it?"))
    shown["content"].append(IMAGE)
    rows += [{"messages": [shown, message("assistant", ("text", f"Cat {n}"))]} for n in range(20)]
    answer = call("check", write(tmp_path / "photos.jsonl", rows), "--json")
    [problem] = [each for each in answer.document["problems"] if each["kind"] == "wrong-type"]
    assert problem["message"] == (
        '20 rows have a list in the column "messages" that we can\'t read. '
        'Expected: [{"role": "user", "content": "…"}, …]. Row 3 has content [{"type": "image_url", …}].'
    )
    assert problem["fix"] == "Leave them out" and problem["message"] in answer.document["blocked"]


# --- cells of the wrong type ---


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ([message("martian", ("text", "Hi"))], 'has the role "martian", not one of assistant, system, tool, user.'),
        ([{"content": "Hi"}], "has a message without a role."),
        (["Hi"], 'has the message "Hi".'),
        ([{"role": "user", "content": {"text": "Hi"}}], 'has content {"text": "Hi"}.'),
        ("Hi", 'a text in the column "talk" that we can\'t read'),
        (7, 'a number in the column "talk" that we can\'t read'),
    ],
)
def test_an_unreadable_conversation_says_what_is_in_it(cell: Any, words: str) -> None:
    rows = [{"talk": conversation(n)} for n in range(9)] + [{"talk": cell}]
    report = check(read_text(as_lines(rows)), CHAT, {"talk": "messages"})
    [message_] = [each.message for each in report.problems if each.kind == "wrong-type"]
    assert message_.startswith("1 row has ") and words in message_ and "Row 10 has" in message_


def test_unreadable_cells_are_told_by_column_with_what_each_expects() -> None:
    rows: list[dict[str, Any]] = [{"text": f"Number {n} is here", "score": n / 7} for n in range(1, 15)]
    rows[2]["score"], rows[4]["score"], rows[6]["text"] = "high", ["1"], {"de": "Sieben"}
    report = check(read_text(as_lines(rows)), task_named("classification"), {"text": "text", "score": "score"})
    [problem] = [each for each in report.problems if each.kind == "wrong-type"]
    assert problem.rows == (3, 5, 7)
    assert '2 rows have a value in the column "score"' in problem.message
    assert 'Expected: a number, such as 3.5. Row 3 has "high".' in problem.message
    assert '1 row has an object in the column "text"' in problem.message
    assert 'Expected: a text, such as "Where is my refund?". Row 7 has {"de": "Sieben"}.' in problem.message


def test_a_pair_of_equal_replies_is_not_of_the_wrong_type_too() -> None:
    rows = [{"prompt": f"Q {n}?", "chosen": f"A {n}", "rejected": f"{'A' if n == 3 else 'B'} {n}"} for n in range(12)]
    assert [each.kind for each in report_of(rows).problems if each.severity == "error"] == ["equal-pair"]


# --- transcripts of hh-rlhf ---


def transcript(*texts: str) -> str:
    """A transcript as in hh-rlhf: texts of Human and Assistant in turn."""
    return "".join(f"\n\n{('Human', 'Assistant')[place % 2]}: {text}" for place, text in enumerate(texts))


def hh_rows(count: int = 20) -> list[dict[str, Any]]:
    rows = []
    for n in range(count):
        before = [f"What is {n}?", "Which one?", f"The {n}th.\n\nPlease."]
        rows.append({"chosen": transcript(*before, f"It is {n}."), "rejected": transcript(*before, f"No idea, {n}.")})
    return rows


def test_transcripts_are_split_into_the_common_messages_and_two_replies(call: Call, tmp_path: Path) -> None:
    values = PREFERENCE.values(hh_rows()[7], {"chosen": "chosen", "rejected": "rejected"})
    assert values["prompt"] == [
        {"role": "user", "content": "What is 7?"},
        {"role": "assistant", "content": "Which one?"},
        {"role": "user", "content": "The 7th.\n\nPlease."},
    ]
    assert (values["chosen"], values["rejected"]) == ("It is 7.", "No idea, 7.")
    report = call("check", write(tmp_path / "hh.jsonl", hh_rows()), "--json").document
    assert (report["task"], report["usable"], report["problems"]) == ("preference", 20, [])


def test_transcripts_that_differ_before_the_last_reply_are_named_and_not_trained_on() -> None:
    rows = hh_rows()
    rows[4]["rejected"] = transcript("What is 4?", "Which two?", "The 4th.\n\nPlease.", "No idea, 4.")
    rows[5]["rejected"] = transcript("What is 5?", "No idea, 5.")
    rows[6]["rejected"] = "No idea, 6."
    rows[8]["chosen"] = transcript("What is 8?", "Which one?", "The 8th.\n\nPlease.", "")
    rows[9]["rejected"] = transcript("What is 9?", "Which one?", "The 9th.\n\nPlease.")
    report = report_of(rows)
    found = {problem.kind: problem.rows for problem in report.problems if problem.severity == "error"}
    assert found == {"different-prompts": (5, 6), "empty": (9, 10)} and report.usable == 16
    values = PREFERENCE.values(rows[6], {name: name for name in rows[6]})
    assert len(values["prompt"]) == 3 and values["rejected"] == "No idea, 6.", "a reply alone shares the prompt"


def test_a_prompt_that_is_a_transcript_is_split_as_well() -> None:
    row = {"prompt": transcript("Hi", "Hello", "Where is it?", ""), "chosen": " Here.", "rejected": " Gone."}
    values = PREFERENCE.values(row, {name: name for name in row})
    assert [turn["content"] for turn in values["prompt"]] == ["Hi", "Hello", "Where is it?"]
    assert (values["chosen"], values["rejected"]) == ("Here.", "Gone.")


@pytest.mark.parametrize(
    "text",
    ["", "Human: hi", "I said:\n\nHuman: hi\n\nAssistant: hello", "human: hi\n\nassistant: hello", "Assistant: hello"],
)
def test_other_texts_are_no_transcripts(text: str) -> None:
    assert transcript_of(text) == []


# --- pandas ---

FRAME = pandas.DataFrame(
    {"text": [f"Is text {n} good?" for n in range(12)], "label": ["yes", "no"] * 6, "stars": [1.5, None] * 6}
)
ROWS = [
    {name: None if pandas.isna(value) else value for name, value in row.items()} for row in FRAME.to_dict("records")
]


@pytest.mark.parametrize("orient", ["split", "table", "records", "columns", "values", "index"])
def test_each_orient_of_pandas_gives_the_same_rows(tmp_path: Path, orient: Any) -> None:
    path = tmp_path / "frame.json"
    FRAME.to_json(path, orient=orient)
    table = read(path)
    rows = [{name: value for name, value in row.items() if name != "key"} for row in table.rows()]
    if orient == "values":  # has no names
        assert [list(row.values()) for row in rows] == [list(row.values()) for row in ROWS]
    else:
        assert rows == ROWS
    assert not table.notes and not table.bad_lines


@pytest.mark.parametrize("orient", ["split", "table"])
def test_an_index_of_names_becomes_a_column(tmp_path: Path, orient: Any) -> None:
    named = FRAME.set_index(pandas.Index([f"review {n}" for n in range(12)]))
    named.to_json(tmp_path / "frame.json", orient=orient)
    assert read(tmp_path / "frame.json").rows()[2] == {"index": "review 2", **ROWS[2]}


def test_the_form_that_pandas_calls_tight_is_read_as_split_is() -> None:
    numbered = FRAME.drop(columns="stars").to_dict(orient="tight")
    assert read_text(json.dumps(numbered)).columns == ("text", "label")


def test_split_json_without_an_index_and_with_repeated_names_is_read() -> None:
    table = read_text('{"columns": ["text", "text"], "data": [["a", "b"], ["c", "d"]]}')
    assert table.rows() == [{"text": "a", "text (2)": "b"}, {"text": "c", "text (2)": "d"}]
    assert table.notes == ("Two columns are called text. The later one is now called text (2).",)


def test_a_row_of_another_length_is_a_bad_line_with_its_number() -> None:
    document = {"columns": ["text", "label"], "index": [0, 1, 2], "data": [["a", "x"], ["b"], "c"]}
    table = read_text(json.dumps(document))
    assert [(each.row, each.why) for each in table.bad_lines] == [
        (2, 'Row 2 of "data" has 1 value, but "columns" has 2 names.'),
        (3, 'Row 3 of "data" is a text, not a list of values.'),
    ]
    assert table.rows()[0] == {"text": "a", "label": "x"}


def test_columns_that_are_called_columns_and_data_stay_columns() -> None:
    assert read_text('{"columns": ["a", "b"], "data": ["c", "d"]}').rows()[0] == {"columns": "a", "data": "c"}


def test_the_command_line_checks_a_frame_in_split_form(call: Call, tmp_path: Path) -> None:
    FRAME.drop(columns="stars").to_json(tmp_path / "frame.json", orient="split")
    report = call("check", tmp_path / "frame.json", "--json").document
    assert (report["task"], report["columns"]) == ("classification", {"text": "text", "label": "label"})
    assert report["labels"] == {"no": 6, "yes": 6}


# --- pairs of GLUE ---

LONG = "Sentence number {} has some words of its own, as people write them in a text about something."
BINARY: list[Any] = [0, 1]


def table_of(columns: dict[str, Any]) -> Table:
    """Forty rows. A column is a list that repeats, or a text with a place for the row's number."""
    return read_text(
        as_lines(
            [
                {
                    name: values.format(n) if isinstance(values, str) else values[n % len(values)]
                    for name, values in columns.items()
                }
                for n in range(40)
            ]
        )
    )


@pytest.mark.parametrize(
    ("first", "second", "label", "labels", "others"),
    [
        ("question", "sentence", "label", BINARY, {"idx": "{}"}),
        ("question", "sentence", "label", ["entailment", "not_entailment"], {"index": "{}"}),
        ("premise", "hypothesis", "label", [0, 1, 2], {"idx": "{}"}),
        ("sentence1", "sentence2", "gold_label", ["neutral", "entailment"], {"genre": ["travel", "fiction"]}),
        ("question1", "question2", "label", BINARY, {"idx": "{}"}),
        ("question1", "question2", "is_duplicate", BINARY, {"qid1": "{}", "qid2": "{}"}),
        ("sentence1", "sentence2", "label", BINARY, {"idx": "{}"}),
        ("question", "passage", "label", BINARY, {"idx": "{}"}),
        ("question", "passage", "answer", [True, False, True], {"title": LONG}),
    ],
    ids=["QNLI", "QNLI as TSV", "MNLI", "MNLI as TSV", "QQP", "Quora", "RTE, MRPC", "BoolQ of SuperGLUE", "BoolQ"],
)
def test_pairs_of_sentences_are_known_by_their_names(
    first: str, second: str, label: str, labels: list[Any], others: dict[str, Any]
) -> None:
    table = table_of({**others, second: LONG, first: LONG, label: labels})
    inferred = infer(table, TASKS.values())
    assert inferred.task.name == "classification"
    assert inferred.matched.roles == {first: "text", second: "second", label: "label"}


@pytest.mark.parametrize(
    ("explicit", "roles"),
    [
        ({"question": "text"}, {"question": "text", "sentence": "second", "label": "label"}),
        ({"question": None}, {"sentence": "text", "label": "label"}),
        ({"sentence": "text"}, {"sentence": "text", "label": "label"}),
    ],
    ids=["the first text", "without the first text", "the other way"],
)
def test_a_mapping_by_hand_comes_before_names_of_pairs(explicit: dict[str, str | None], roles: dict[str, str]) -> None:
    table = table_of({"question": LONG, "sentence": LONG, "label": BINARY})
    assert match(table, task_named("classification"), explicit).roles == roles


def test_the_similarity_of_two_sentences_is_a_score() -> None:
    table = table_of({"sentence1": LONG, "sentence2": LONG, "label": [0.5, 1.2, 3.8, 5.0]})
    assert infer(table, TASKS.values()).matched.roles == {"sentence1": "text", "sentence2": "second", "label": "score"}


@pytest.mark.parametrize(
    ("columns", "task", "roles"),
    [
        ({"sentence": LONG, "label": BINARY}, "classification", {"sentence": "text", "label": "label"}),
        ({"question": LONG, "answer": [True, False]}, "chat", {"question": "prompt", "answer": "reply"}),
        (
            {"question": LONG, "passage": LONG, "answer": LONG},
            "question-answering",
            {"question": "question", "passage": "context", "answer": "answer"},
        ),
    ],
    ids=["CoLA", "yes or no without a passage", "answers from a passage"],
)
def test_the_same_names_without_their_partner_keep_their_meaning(
    columns: dict[str, Any], task: str, roles: dict[str, str]
) -> None:
    inferred = infer(table_of(columns), TASKS.values())
    assert (inferred.task.name, inferred.matched.roles) == (task, roles)


def test_the_command_line_checks_question_and_sentence_without_a_map(call: Call, tmp_path: Path) -> None:
    rows = [{"question": f"Who is {n}?", "sentence": f"This is {n}.", "label": n % 2} for n in range(20)]
    report = call("check", write(tmp_path / "qnli.jsonl", rows), "--json").document
    assert report["columns"] == {"question": "text", "sentence": "second", "label": "label"}
