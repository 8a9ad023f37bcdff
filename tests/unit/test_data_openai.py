"""OpenAI's chat fine-tuning files go in untouched: nothing is mapped, refused or lost, and the model sees it right."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from studio.api import Studio
from studio.models.starters.install import fetch_starter
from studio.tasks import Encoding, task_named

CHAT = task_named("chat")
WEATHER = {
    "name": "weather",
    "description": "What the weather will be.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Köln, say"}, "unit": {"enum": ["C", "F"]}},
        "required": ["city"],
    },
    "strict": True,
}
"""A function as OpenAI's guide describes it."""
TOOL = {"type": "function", "function": WEATHER}
TWO_CITIES = ("Bonn", "Köln")


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def call(number: int, city: str) -> dict[str, Any]:
    function = {"name": "weather", "arguments": json.dumps({"city": city})}
    return {"id": f"call_{number}_{city}", "type": "function", "function": function}


def weighed(n: int) -> dict[str, Any]:
    return {
        "messages": [
            said("system", "You are Nora, who is short and kind."),
            said("user", f"Where is parcel {n}?", name="anna"),
            said("assistant", f"Look for {n} yourself.", weight=0),
            said("user", "Be kinder.", name="anna"),
            said("assistant", f"Parcel {n} waits at the depot.", weight=1),
        ]
    }


def calling(n: int) -> dict[str, Any]:
    asked = {"role": "assistant", "tool_calls": [call(n, city) for city in TWO_CITIES]}
    answered = [said("tool", f"{city}: rain, {n} degrees", tool_call_id=f"call_{n}_{city}") for city in TWO_CITIES]
    return {
        "messages": [
            said("user", f"Will it rain on day {n}?"),
            asked,
            *answered,
            said("assistant", f"Yes, all of day {n}."),
        ],
        "tools": [TOOL],
        "parallel_tool_calls": n % 2 == 0,
    }


def in_parts(n: int) -> dict[str, Any]:
    parts = [{"type": "text", "text": f"How long does parcel {n} "}, {"type": "text", "text": "take?"}]
    return {
        "messages": [
            said("developer", "Answer in a line."),
            said("user", parts),
            said("assistant", [{"type": "text", "text": f"About {n} days."}]),
        ]
    }


def legacy(n: int) -> dict[str, Any]:
    asked = said("assistant", None, function_call=call(n, "Bonn")["function"])
    return {
        "messages": [
            said("user", f"How warm is it on day {n}?"),
            asked,
            said("function", f"{n} degrees", name="weather"),
            said("assistant", f"It has {n} degrees."),
        ],
        "functions": [WEATHER],
    }


def lines(*kinds: Any, count: int = 24) -> list[dict[str, Any]]:
    return [kinds[n % len(kinds)](n) for n in range(count)]


def brought(studio: Studio, tmp_path: Path, rows: list[dict[str, Any]]) -> str:
    """The id of the dataset that a file of such rows becomes."""
    path = tmp_path / "openai.jsonl"
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    record = studio.datasets.add_file(path)
    assert record.rows == len(rows) and not record.bad_line_count
    return record.id


@pytest.mark.parametrize(
    ("rows", "roles"),
    [
        (lines(weighed), {"messages": "messages"}),
        (lines(calling), {"messages": "messages", "tools": "tools"}),
        (lines(in_parts), {"messages": "messages"}),
        (lines(legacy), {"messages": "messages", "functions": "tools"}),
        (lines(weighed, calling, in_parts), {"messages": "messages", "tools": "tools"}),
    ],
    ids=["weights and names", "tools", "parts", "functions", "all of them"],
)
def test_each_shape_goes_in_whole_with_its_roles_found_and_comes_back_as_it_was(
    studio: Studio, tmp_path: Path, rows: list[dict[str, Any]], roles: dict[str, str]
) -> None:
    data = brought(studio, tmp_path, rows)
    report = studio.checks.check(data)
    assert (report.task, {column: role for column, role in report.columns.items() if role}) == ("chat", roles)
    assert report.usable == len(rows) and not report.problems and not report.notes and not report.blocked
    kept = studio.datasets.table(data).rows()
    assert [{column: value for column, value in row.items() if value is not None} for row in kept] == rows


# --- what the model sees ---


@pytest.fixture(scope="module")
def encoding() -> Encoding:
    """A model whose own template knows no tools."""
    tokenizer = AutoTokenizer.from_pretrained(fetch_starter("starter-chat"))
    return Encoding(tokenizer, {"messages": "messages", "tools": "tools"}, max_length=1000)


def seen(row: dict[str, Any], encoding: Encoding) -> tuple[str, list[str]]:
    """The whole text that a model reads of a row, and the runs of it that are learned."""
    example, runs = CHAT.encode(row, encoding), [[]]  # type: ignore[var-annotated]
    for token, marked in zip(example.input_ids, example.learned, strict=True):
        if marked:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    decode = encoding.tokenizer.decode
    return decode(example.input_ids), [decode(run).strip() for run in runs if run]


def test_a_reply_of_weight_zero_is_read_and_the_one_of_weight_one_learned(encoding: Encoding) -> None:
    text, learned = seen(weighed(7), encoding)
    assert learned == ["Parcel 7 waits at the depot.<|im_end|>"]
    assert "Look for 7 yourself." in text and "You are Nora" in text and "Be kinder." in text


def test_a_conversation_whose_replies_all_weigh_nothing_teaches_nothing(encoding: Encoding) -> None:
    row = {
        "messages": [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in weighed(7)["messages"]]
    }
    assert not CHAT.encode(row, encoding).has_targets


def test_all_calls_of_a_turn_are_learned_and_what_the_tools_say_is_read(encoding: Encoding) -> None:
    text, learned = seen(calling(7), encoding)
    calls, reply = learned
    written = [json.loads(each) for each in calls.split("\n") if each.startswith("{")]
    assert written == [{"name": "weather", "arguments": {"city": city}} for city in TWO_CITIES]
    assert reply == "Yes, all of day 7.<|im_end|>"
    assert json.dumps(TOOL, ensure_ascii=False) in text and "Köln: rain, 7 degrees" in text


def test_functions_of_the_older_form_are_seen_as_tools_are(encoding: Encoding) -> None:
    text, learned = seen(legacy(7), replace(encoding, roles={"messages": "messages", "functions": "tools"}))
    assert '{"name": "weather", "arguments": {"city": "Bonn"}}' in learned[0] and learned[1].startswith("It has 7")
    assert json.dumps(TOOL, ensure_ascii=False) in text and "7 degrees" in text


def test_texts_in_parts_are_seen_as_one_text(encoding: Encoding) -> None:
    text, learned = seen(in_parts(7), encoding)
    assert "<|im_start|>system\nAnswer in a line." in text and "How long does parcel 7 take?" in text
    assert learned == ["About 7 days.<|im_end|>"]


def test_a_conversation_with_a_picture_is_left_out_and_named(studio: Studio, tmp_path: Path) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/parcel.png"}}
    shown = {"messages": [said("user", [{"type": "text", "text": "What is it?"}, picture]), said("assistant", "A cat")]}
    report = studio.checks.check(brought(studio, tmp_path, [*lines(weighed), shown]))
    assert (report.rows, report.usable) == (25, 24)
    assert [(problem.kind, problem.rows) for problem in report.problems] == [("wrong-type", (25,))]


def test_names_and_ids_reach_a_template_that_writes_them(encoding: Encoding) -> None:
    tokenizer = AutoTokenizer.from_pretrained(fetch_starter("starter-chat"))
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }} {{ m.name or m.tool_call_id or '' }}]{{ m.content }}"
        "{% for call in m.tool_calls or [] %}<{{ call.id }} {{ call.function.name }}>{% endfor %}"
        "{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant ]{% endif %}{# tools #}"
    )
    told = replace(encoding, tokenizer=tokenizer)
    text, learned = seen(calling(7), told)
    assert learned[0] == "<call_7_Bonn weather><call_7_Köln weather><|im_end|>"
    assert "[tool call_7_Bonn]Bonn: rain" in text and "[tool call_7_Köln]Köln: rain" in text
    assert "[user anna]Be kinder." in seen(weighed(7), told)[0]
    assert "[tool weather]7 degrees" in seen(legacy(7), told)[0]


@pytest.mark.parametrize("template", ["its own", "the plain one"])
def test_a_reply_whose_words_stand_in_the_question_is_learned_where_it_is_given(
    encoding: Encoding, template: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(fetch_starter("starter-chat"))
    if template == "the plain one":
        tokenizer.chat_template = None
    told = replace(encoding, tokenizer=tokenizer)
    asked = ["Is this good or bad? Say good or bad.", "user", "Which letter comes first, a or s?", "Is it e?"]
    for answers in (["good", "user", "a", "e"], ["bad", "assistant", "s", "e"]):
        turns = [
            turn
            for ask, reply in zip(asked, answers, strict=True)
            for turn in (said("user", ask), said("assistant", reply))
        ]
        assert seen({"messages": turns}, told)[1] == [f"{reply}<|im_end|>" for reply in answers]
        turns[3]["weight"] = 0
        assert seen({"messages": turns}, told)[1] == [f"{answers[n]}<|im_end|>" for n in (0, 2, 3)]
