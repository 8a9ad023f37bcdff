"""What a task says of a row, without a tokenizer: its values, what it lacks, its text and what is expected."""

import json
from typing import Any

import pytest

from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelKind
from studio.tasks import TASKS, Task, task_named
from studio.tasks.classification import label_name
from studio.tasks.conversation import messages_of
from studio.tasks.rendering import PLAIN_TEMPLATE, has_generation_marks

CHAT = task_named("chat")
SORT = task_named("classification")
ALPACA = {"instruction": "prompt", "input": "context", "output": "reply", "system": "system", "history": "history"}
TURNS = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "Take care"},
]


@pytest.mark.parametrize("task", TASKS.values(), ids=lambda each: each.name)
def test_every_task_says_all_that_the_page_and_the_trainers_ask(task: Task) -> None:
    from studio.metrics import METRICS
    from studio.training.trainers import builder

    assert TASKS[task.name] is task and task.title and task.term and task.sample_in and task.sample_out
    assert task.sentence.endswith(".")
    assert callable(builder(task.trainer)) and set(task.metrics) <= set(METRICS)
    names = [role.name for role in task.roles]
    assert len(set(names)) == len(names)
    assert all(set(one) <= set(names) for one in task.alternatives)
    assert all(role.help.endswith(".") and role.aliases for role in task.roles)
    assert all(alias == alias.lower() for role in task.roles for alias in role.aliases)


def test_a_task_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(StudioError, match="Did you mean classification") as caught:
        task_named("clasification")
    assert (caught.value.code, caught.value.field) == ("unknown-name", "task")


@pytest.mark.parametrize(
    ("kind", "able"),
    [
        (
            "causal",
            {"chat", "classification", "completion", "preference", "feedback", "summarization", "question-answering"},
        ),
        ("encoder", {"classification", "question-answering"}),
        ("seq2seq", {"summarization", "question-answering"}),
        ("other", set()),
    ],
)
def test_each_kind_of_model_can_do_what_it_can_or_is_told_why_not(kind: ModelKind, able: set[str]) -> None:
    model = ModelInfo(name="m", title="M", source="folder", kind=kind)
    reasons = {name: task.unavailable_reason(model) for name, task in TASKS.items()}
    assert able <= {name for name, reason in reasons.items() if not reason}
    assert not able or {"chat", "classification", "summarization"} - able <= {n for n, why in reasons.items() if why}
    assert all(reason.endswith(".") for reason in reasons.values() if reason)


def test_an_alpaca_row_is_a_prompt_with_its_context_and_a_reply() -> None:
    row = {"instruction": " Sum up. ", "input": "A van.", "output": "Van.", "system": "", "history": []}
    assert CHAT.missing(row, ALPACA) == ""
    assert CHAT.text_of(row, ALPACA) == "Sum up.\n\nA van."
    assert CHAT.expected(row, ALPACA) == "Van."
    assert CHAT.prompt_of(row, ALPACA) == [{"role": "user", "content": "Sum up.\n\nA van."}]


def test_system_prompt_and_history_come_before_the_prompt() -> None:
    row = {"instruction": "And now?", "input": "", "output": "Go.", "system": "Be brief.", "history": [["Hi", "Hello"]]}
    assert [(turn["role"], turn["content"]) for turn in CHAT.prompt_of(row, ALPACA)] == [
        ("system", "Be brief."),
        ("user", "Hi"),
        ("assistant", "Hello"),
        ("user", "And now?"),
    ]


SHAREGPT = [
    {"from": name, "value": turn["content"]}
    for name, turn in zip(("system", "human", "gpt", "human", "gpt"), TURNS, strict=True)
]


@pytest.mark.parametrize(
    "cell",
    [
        TURNS,
        SHAREGPT,
        json.dumps(TURNS),
        str(TURNS),
        {"messages": TURNS},
        [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in TURNS],
        [{**turn, "role": turn["role"].replace("system", "developer").upper()} for turn in TURNS],
    ],
    ids=["OpenAI", "ShareGPT", "as JSON", "as Python", "in an object", "in parts", "in capitals"],
)
def test_conversations_are_read_in_the_shapes_that_people_bring(cell: Any) -> None:
    assert messages_of(cell) == TURNS
    roles = {"talk": "messages"}
    assert CHAT.missing({"talk": cell}, roles) == ""
    assert CHAT.text_of({"talk": cell}, roles) == "Hi\n\nBye"
    assert CHAT.expected({"talk": cell}, roles) == "Take care"
    assert CHAT.prompt_of({"talk": cell}, roles) == TURNS[:4]


@pytest.mark.parametrize(
    "cell",
    [
        None,
        "",
        "hello",
        [],
        [1, 2],
        [{"role": "martian", "content": "x"}],
        [{"role": "user", "content": {"a": 1}}],
        "[{broken",
    ],
    ids=str,
)
def test_what_is_no_conversation_is_missing(cell: Any) -> None:
    assert messages_of(cell) is None
    assert CHAT.missing({"talk": cell}, {"talk": "messages"}) == "messages"


def test_tool_calls_are_turns_too() -> None:
    said = [("human", "Find it"), ("function_call", "{}"), ("observation", "found"), ("gpt", "Here")]
    turns = messages_of([{"from": who, "value": what} for who, what in said])
    assert turns and [turn["role"] for turn in turns] == ["user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize(
    ("row", "lacking"),
    [
        ({"q": "Hi", "a": "Hello"}, ""),
        ({"q": "Hi", "a": ""}, "reply"),
        ({"q": " \n", "a": "Hello"}, "prompt"),
        ({"q": None, "a": None}, "prompt"),
        ({"q": float("nan"), "a": "Hello"}, "prompt"),
        ({"q": ["Hi"], "a": "Hello"}, "prompt"),
        ({"q": 1, "a": 2.0}, ""),
    ],
    ids=str,
)
def test_a_row_that_lacks_a_role_says_which(row: dict[str, Any], lacking: str) -> None:
    assert CHAT.missing(row, {"q": "prompt", "a": "reply"}) == lacking


def test_a_conversation_lacks_a_reply_or_a_question() -> None:
    for keep, lacking in ((2, "reply"), (3, "")):
        assert CHAT.missing({"talk": TURNS[:keep]}, {"talk": "messages"}) == lacking
    assert CHAT.missing({"talk": [TURNS[2]]}, {"talk": "messages"}) == "prompt"
    assert CHAT.missing({"talk": [TURNS[1], {"role": "assistant", "content": " "}]}, {"talk": "messages"}) == "reply"


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1", "1"),
        ("1.0", "1"),
        ("-2.00", "-2"),
        (2.5, "2.5"),
        ("2.50", "2.50"),
        (True, "true"),
        (False, "false"),
        (" spam ", "spam"),
        ("10", "10"),
        ("v1.0", "v1.0"),
        (None, ""),
        ("", ""),
        (float("nan"), ""),
        (["joy"], "joy"),
        (["joy", "fear"], ""),
        ({"a": 1}, ""),
        (0, "0"),
    ],
    ids=repr,
)
def test_a_label_has_one_name_however_it_is_written(value: Any, name: str) -> None:
    assert label_name(value) == name


def test_a_row_to_classify_is_a_text_and_a_label() -> None:
    roles = {"review": "text", "stars": "label"}
    row = {"review": " Good. ", "stars": 5.0}
    assert (SORT.text_of(row, roles), SORT.expected(row, roles), SORT.prompt_of(row, roles)) == ("Good.", "5", "Good.")
    assert SORT.missing(row, roles) == ""
    assert SORT.missing({"review": "Good.", "stars": None}, roles) == "label"
    assert SORT.missing({"review": "", "stars": 5}, roles) == "text"
    assert SORT.missing({"review": "Good."}, {"review": "text"}) == "label"


def test_the_plain_template_marks_its_replies() -> None:
    assert has_generation_marks(PLAIN_TEMPLATE) and has_generation_marks("{%- generation -%}")
    assert not has_generation_marks("{% if add_generation_prompt %}")
