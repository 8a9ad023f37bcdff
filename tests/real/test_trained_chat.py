"""Conversations token by token: tools that are called, thinking kept or dropped, all replies or only the last."""

from typing import Any

import pytest
from transformers import AutoTokenizer

from studio.models.starters.install import fetch_starter
from studio.tasks import Encoding, task_named

CHAT = task_named("chat")
KNOWS_TOOLS = (
    "{% if tools %}[TOOLS]{{ tools | tojson }}[/TOOLS]\n{% endif %}{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "{% for call in message.tool_calls or [] %}[CALL]{{ call.function.name }}({{ call.function.arguments | tojson }})"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
CALL = {"type": "function", "function": {"name": "weather", "arguments": '{"city": "Bonn"}'}}
CALLING = [
    {"role": "user", "content": "Will it rain in Bonn?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "rain, 8 degrees"},
    {"role": "assistant", "content": "Yes, take a coat."},
]
SHAREGPT = [
    {"from": "human", "value": "Will it rain in Bonn?"},
    {"from": "function_call", "value": '{"name": "weather", "arguments": {"city": "Bonn"}}'},
    {"from": "observation", "value": "rain, 8 degrees"},
    {"from": "gpt", "value": "Yes, take a coat."},
]
THINKING = [
    {"role": "user", "content": "2 + 2?"},
    {"role": "assistant", "content": "<think>\nTwo and two.\n</think>\n\nFour."},
    {"role": "user", "content": "And 3 + 3?"},
    {"role": "assistant", "content": "<think>\nThree and three.\n</think>\n\nSix."},
]


def encoding(roles: dict[str, str], template: str = "", **more: Any) -> Encoding:
    tokenizer = AutoTokenizer.from_pretrained(fetch_starter("starter-chat"))
    if template:
        tokenizer.chat_template = template
    return Encoding(tokenizer=tokenizer, roles=roles, max_length=512, **more)


def learned(row: dict[str, Any], told: Encoding) -> list[str]:
    """The runs of learned tokens as text."""
    example, runs = CHAT.encode(row, told), [[]]  # type: ignore[var-annotated]
    for token, marked in zip(example.input_ids, example.learned, strict=True):
        if marked:
            runs[-1].append(token)
        elif runs[-1]:
            runs.append([])
    return [told.tokenizer.decode(run) for run in runs if run]


@pytest.mark.parametrize("turns", [CALLING, SHAREGPT], ids=["OpenAI", "ShareGPT"])
def test_the_call_of_a_tool_is_learned_as_the_models_template_writes_it(turns: list[dict[str, Any]]) -> None:
    told = encoding({"messages": "messages", "tools": "tools"}, KNOWS_TOOLS)
    row = {"messages": turns, "tools": [WEATHER]}
    call, reply = learned(row, told)
    assert call.startswith('[CALL]weather({"city": "Bonn"})') and reply.startswith("Yes, take a coat.")
    text = told.tokenizer.decode(CHAT.encode(row, told).input_ids)
    assert text.startswith("[TOOLS]") and '"name": "weather"' in text and "rain, 8 degrees" in text


def test_a_template_that_knows_no_tools_gets_them_in_words() -> None:
    told = encoding({"messages": "messages", "tools": "tools"})
    row = {"messages": CALLING, "tools": '[{"name": "weather", "parameters": {}}]'}
    call, reply = learned(row, told)
    assert call.strip().startswith('<tool_call>\n{"name": "weather", "arguments": {"city": "Bonn"}}\n</tool_call>')
    assert reply.startswith("Yes, take a coat.")
    text = told.tokenizer.decode(CHAT.encode(row, told).input_ids)
    assert "<tools>" in text and text.index("<tools>") < text.index("Will it rain")


def test_a_conversation_whose_only_reply_is_a_call_lacks_nothing() -> None:
    roles = {"messages": "messages"}
    assert CHAT.missing({"messages": CALLING[:2]}, roles) == ""
    assert CHAT.missing({"messages": CALLING[:1]}, roles) == "reply"


def test_thinking_is_learned_with_the_reply_or_left_out() -> None:
    roles = {"messages": "messages"}
    kept = learned({"messages": THINKING}, encoding(roles, KNOWS_TOOLS))
    assert len(kept) == 2 and all("<think>" in each for each in kept)
    dropped = learned({"messages": THINKING}, encoding(roles, KNOWS_TOOLS, thinking="drop"))
    assert [each.split("<|")[0] for each in dropped] == ["Four.", "Six."]
    told = encoding(roles, KNOWS_TOOLS, thinking="drop")
    assert "<think>" not in told.tokenizer.decode(CHAT.encode({"messages": THINKING}, told).input_ids)


def test_thinking_in_a_field_of_its_own_is_read_as_part_of_the_reply() -> None:
    turns = [THINKING[0], {"role": "assistant", "content": "Four.", "reasoning_content": "Two and two."}]
    (said,) = learned({"messages": turns}, encoding({"messages": "messages"}, KNOWS_TOOLS))
    assert said.startswith("<think>\nTwo and two.\n</think>\n\nFour.")


def test_all_replies_are_learned_or_only_the_last() -> None:
    roles = {"messages": "messages"}
    assert len(learned({"messages": THINKING}, encoding(roles, KNOWS_TOOLS))) == 2
    (last,) = learned({"messages": THINKING}, encoding(roles, KNOWS_TOOLS, learn_replies="last", thinking="drop"))
    assert last.startswith("Six.")


EARLIER_OTHERWISE = (
    "{% set ns = namespace(last=0) %}{% for message in messages %}{% if message.role == 'user' %}"
    "{% set ns.last = loop.index0 %}{% endif %}{% endfor %}{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{% if message.role == 'assistant' %}"
    "{% set said = message.content.split('</think>')[-1].lstrip('\n') %}"
    "{% set thought = message.content.split('</think>')[0].split('<think>')[-1] if '</think>' in message.content "
    "else '\n\n' %}{% if loop.last or (loop.index0 > ns.last and thought.strip()) %}"
    "<think>{{ thought }}</think>\n\n{% endif %}{{ said }}"
    "{% for call in message.tool_calls or [] %}[CALL]{{ call.function.name }}({{ call.function.arguments | tojson }})"
    "{% endfor %}{% else %}{{ message.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen3 writes it: thoughts, and their frame, stand before the last reply alone."""
MERGED = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}"
    "<|im_end|>{% endgeneration %}{% else %}<|im_start|>user\n{{ message['content'] }}<|im_end|>\n{% endif %}"
    "{% endfor %}"
)
"""Two replies in a row have no mark between them."""


def test_earlier_replies_that_a_template_writes_otherwise_than_the_last_are_learned_whole() -> None:
    told = encoding({"messages": "messages"}, EARLIER_OTHERWISE)
    assert learned({"messages": THINKING}, told) == [
        "Four.<|im_end|>\n",
        "<think>\nThree and three.\n</think>\n\nSix.<|im_end|>\n",
    ]
    call, answer = learned({"messages": CALLING}, told)
    assert call == '[CALL]weather({"city": "Bonn"})<|im_end|>\n' and answer.endswith("Yes, take a coat.<|im_end|>\n")


@pytest.mark.parametrize("template", [EARLIER_OTHERWISE, KNOWS_TOOLS, MERGED], ids=["thoughts", "plain", "marked"])
def test_the_last_reply_is_learned_alone_however_the_template_writes_those_before_it(template: str) -> None:
    turns = [
        {"role": "assistant", "content": "One moment."} if n == 2 else turn
        for n, turn in enumerate([*THINKING[:2], None, *THINKING[2:]])
    ]
    (last,) = learned({"messages": turns}, encoding({"messages": "messages"}, template, learn_replies="last"))
    assert "Six.<|im_end|>" in last and "Four" not in last and "moment" not in last
