"""Messages of a conversation in the common file formats, read as role and content. Independent of any tokenizer."""

import json
import re
from collections.abc import Sequence
from typing import Any

from studio.data.literals import literal
from studio.data.phrases import short
from studio.data.values import is_blank

ROLES = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "customer": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "ai": "assistant",
    "function_call": "assistant",
    "agent": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "ipython": "tool",
    "function_response": "tool",
}
"""Names of speakers in the formats of LLaMA-Factory, ShareGPT, OpenAI and others → role."""
UNTRAINED = "weight"
"""OpenAI's files give weight 0 to replies that are not learned."""
_LOSS_WEIGHT = "loss_weight"
"""The same in LLaMA-Factory's files."""
_SMALLEST_WEIGHT = 1e-6
"""Up to this weight LLaMA-Factory does not train on a message."""
TEXT, REASONING, CALL = "text", "reasoning", "tool_call"
"""Types of the parts of a content that can be read."""
_PART_KEYS = {TEXT: ("text", "value"), REASONING: ("value",), CALL: ("value",)}
"""Type of a part → keys of its text, in OpenAI's files and in LLaMA-Factory's."""


TOOLS, CALLS = "tools", "tool_calls"
"""Keys of messages. The first message can have the tools that a model can call; others the calls that it makes."""
NAMES = ("name", "tool_call_id")
"""Name of the speaker, and id of the answered call. Kept for chat templates that use them."""
_ARRAY = re.compile(r"\barray\((\[[^\[\]]*\]), dtype=\w+\)")
"""How NumPy prints a list, which pandas writes into CSV files."""
_THOUGHT, _THOUGHT_END = "<think>", "</think>"
"""Around the model's reasoning before a reply."""
_SPACE = re.compile(r"\s*")
_SPEAKER = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
"""The start of a turn in a transcript."""


def messages_of(value: Any) -> list[dict[str, Any]] | None:
    """Return the messages in a cell, or None if it has none or they can't be read."""
    turns = []
    for item in _items(value):
        turn = _message(item)
        if turn is None:
            return None
        turns.append(turn)
    return turns or None


def unreadable_part(value: Any) -> str:
    """Return what can't be read in a list of messages, for an error message: `content [{"type": "image", …}]`.

    Empty if the value is no such list, or all of its messages can be read.
    """
    unreadable = next((item for item in _items(value) if _message(item) is None), "")
    if not isinstance(unreadable, dict):
        return f"the message {excerpt(unreadable)}" if unreadable != "" else ""
    speaker = _speaker(unreadable)
    if speaker not in ROLES:
        roles = ", ".join(sorted(set(ROLES.values())))
        return f"the role {excerpt(speaker)}, not one of {roles}" if speaker else "a message without a role"
    content = unreadable.get("content", unreadable.get("value"))
    if not isinstance(content, list):
        return f"content {excerpt(content)}"
    return f"content [{excerpt(next((part for part in content if not _is_readable(part, ROLES[speaker])), content))}]"


def excerpt(value: Any) -> str:
    """Return the start of a value as JSON. An object is shown with its first key: `{"type": "image", …}`."""
    if isinstance(value, dict) and value:
        first = next(iter(value)) if "type" not in value else "type"
        entry = f"{json.dumps(first)}: {short(json.dumps(value[first], ensure_ascii=False))}"
        return f"{{{entry}, …}}" if len(value) > 1 else f"{{{entry}}}"
    return short(json.dumps(value, ensure_ascii=False), 60)


def transcript_of(transcript: str | None) -> list[dict[str, Any]]:
    r"""Return the messages of a transcript as in hh-rlhf: `\n\nHuman: …\n\nAssistant: …`. Empty for other texts.

    An empty reply at the end is left out: it has not been written yet.
    """
    if not transcript or "\n\nAssistant:" not in transcript:
        return []
    before, *pieces = _SPEAKER.split(transcript)
    if before.strip() or len(pieces) < 4 or pieces[0] != "Human":
        return []
    turns = [
        {"role": ROLES[speaker.lower()], "content": text.strip()}
        for speaker, text in zip(pieces[::2], pieces[1::2], strict=True)
    ]
    return turns if turns[-1]["content"] or turns[-1]["role"] == "user" else turns[:-1]


def history_of(value: Any) -> list[dict[str, Any]]:
    """Return earlier messages from pairs of question and answer, as in Alpaca's `history`."""
    if isinstance(value, str):
        value = parsed(value)
    turns = []
    for pair in value if isinstance(value, list) else ():
        if isinstance(pair, list) and len(pair) == 2:
            turns.append({"role": "user", "content": str(pair[0])})
            turns.append({"role": "assistant", "content": str(pair[1])})
    return turns


def parsed(text: str) -> Any:
    """Return a list or object from JSON, or from Python syntax as pandas writes it. None for other text."""
    text = text.strip()
    if not text.startswith(("[", "{")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    value = literal(text)
    if value is None and (plain := _ARRAY.sub(r"\1", text)) != text:
        return literal(plain)
    return value


def _items(value: Any) -> list[Any]:
    """Return the items of a cell that holds a list of messages, or its JSON. Empty for other values."""
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, dict):
        value = value.get("messages", value.get("conversations"))
    return value if isinstance(value, list) else []


def _speaker(item: dict[str, Any]) -> str:
    return str(item.get("role", item.get("from", ""))).strip().lower()


def _message(item: Any) -> dict[str, Any] | None:
    if not isinstance(item, dict):
        return None
    speaker = _speaker(item)
    role, content = ROLES.get(speaker), item.get("content", item.get("value"))
    if isinstance(content, list):
        if not all(_is_readable(part, role) for part in content):
            return None
        item = _without_parts(item, content)
        content = item["content"]
    elif not isinstance(content, str):
        content = "" if is_blank(content) else None
    if role is None or content is None:
        return None
    calls = _calls(item.get(CALLS) or item.get("function_call"))
    if speaker == "function_call" and content and (calls_in_text := _calls(parsed(content))):
        content, calls = "", calls_in_text
    thought = item.get("reasoning_content") or item.get("thinking")
    if role == "assistant" and isinstance(thought, str) and thought.strip() and "<think>" not in content:
        content = f"<think>\n{thought.strip()}\n</think>\n\n{content}"
    turn: dict[str, Any] = {"role": role, "content": content}
    turn |= {key: item[key] for key in NAMES if isinstance(item.get(key), str) and item[key]}
    if role == "assistant" and calls:
        turn[CALLS] = calls
    weight = item.get(_LOSS_WEIGHT) if item.get(UNTRAINED) is None else item[UNTRAINED]
    if role == "assistant" and isinstance(weight, int | float) and weight != 1:
        turn[UNTRAINED] = 0 if weight <= _SMALLEST_WEIGHT else weight
    return turn


def has_content(turn: dict[str, Any]) -> bool:
    """Return whether a message has text or a tool call."""
    return bool(turn["content"].strip() or turn.get(CALLS))


def without_reasoning(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with the reasoning removed from replies."""
    return [
        {**turn, "content": _without_thoughts(turn["content"])} if turn["role"] == "assistant" else turn
        for turn in turns
    ]


def _without_thoughts(text: str) -> str:
    """Return a text without reasoning and the space after it.

    No regular expression from `<think>` to `</think>`: with many beginnings and no end, it would take minutes.
    """
    kept, place = [], 0
    while (start := text.find(_THOUGHT, place)) >= 0 and (end := text.find(_THOUGHT_END, start)) >= 0:
        kept.append(text[place:start])
        place = _SPACE.match(text, end + len(_THOUGHT_END)).end()  # type: ignore[union-attr]  # it matches anywhere
    return "".join(kept) + text[place:]


def split_last_reply(turns: Sequence[dict[str, Any]]) -> tuple[Sequence[dict[str, Any]], dict[str, Any]]:
    """Return the messages before the last reply, and the last reply. It is empty after a message of the user."""
    if turns and turns[-1]["role"] == "assistant":
        return turns[:-1], turns[-1]
    return turns, {}


def train_last_reply_only(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with weight 0 for all replies except the last."""
    last = max((place for place, turn in enumerate(turns) if turn["role"] == "assistant"), default=-1)
    return [
        {**turn, UNTRAINED: 0} if turn["role"] == "assistant" and place != last else turn
        for place, turn in enumerate(turns)
    ]


def tools_of(value: Any) -> list[dict[str, Any]] | None:
    """Return the tools that a cell describes, in OpenAI's format. None if there are none."""
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, dict):
        value = [value]
    tools = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    return [each if "function" in each else {"type": "function", "function": each} for each in tools] or None


def _calls(value: Any) -> list[dict[str, Any]]:
    """Return tool calls in OpenAI's format, with arguments as an object."""
    calls = []
    for each in value if isinstance(value, list) else [value]:
        function = each.get("function", each) if isinstance(each, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            continue
        arguments = function.get("arguments", function.get("parameters", {}))
        arguments = parsed(arguments) if isinstance(arguments, str) else arguments
        known = {"id": each["id"]} if isinstance(each.get("id"), str) else {}
        calls.append(
            {**known, "type": "function", "function": {"name": function["name"], "arguments": arguments or {}}}
        )
    return calls


def _without_parts(item: dict[str, Any], content: list[Any]) -> dict[str, Any]:
    """Return a message with its readable parts as text, reasoning and tool calls, in OpenAI's keys."""
    texts: dict[str, list[str]] = {TEXT: [], REASONING: [], CALL: []}
    for part in content:
        texts[_type_of(part)].append(_text_of_part(part) or "")
    keys: dict[str, Any] = {"content": "".join(texts[TEXT])}
    if texts[REASONING]:
        keys["reasoning_content"] = "".join(texts[REASONING])
    if texts[CALL]:
        keys[CALLS] = [*_calls(item.get(CALLS) or []), *(call for text in texts[CALL] for call in _calls(parsed(text)))]
    return {**item, **keys}


def _is_readable(part: Any, role: str | None) -> bool:
    """Return whether a part of a content can be read. Only the assistant has reasoning and tool calls."""
    text, type_ = _text_of_part(part), _type_of(part)
    if text is None or (type_ != TEXT and role != "assistant"):
        return False
    return type_ != CALL or bool(_calls(parsed(text)))


def _type_of(part: Any) -> str:
    return str(part.get("type", TEXT)) if isinstance(part, dict) else ""


def _text_of_part(part: Any) -> str | None:
    return next((part[key] for key in _PART_KEYS.get(_type_of(part), ()) if isinstance(part.get(key), str)), None)
