"""Messages of a conversation in the common file formats, read as role and content. Independent of any tokenizer."""

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

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


TOOLS, CALLS = "tools", "tool_calls"
"""Keys of messages. The first message can have the tools that a model can call; others the calls that it makes."""
NAMES = ("name", "tool_call_id")
"""Name of the speaker, and id of the answered call. Kept for chat templates that use them."""
_ARRAY = re.compile(r"\barray\((\[[^\]]*\]), dtype=\w+\)")
"""How NumPy prints a list, which pandas writes into CSV files."""
THOUGHT = re.compile(r"<think>.*?</think>\s*", re.DOTALL)
"""The model's reasoning before a reply."""


def messages_of(value: Any) -> list[dict[str, Any]] | None:
    """Return the messages in a cell, or None if it has none or they can't be read."""
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, dict):
        value = value.get("messages", value.get("conversations"))
    if not isinstance(value, list) or not value:
        return None
    turns = []
    for item in value:
        turn = _message(item)
        if turn is None:
            return None
        turns.append(turn)
    return turns


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
    for literal in (text, _ARRAY.sub(r"\1", text)):
        try:
            return ast.literal_eval(literal)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _message(item: Any) -> dict[str, Any] | None:
    if not isinstance(item, dict):
        return None
    speaker = str(item.get("role", item.get("from", ""))).strip().lower()
    role, content = ROLES.get(speaker), _content(item.get("content", item.get("value")))
    calls = _calls(item.get(CALLS) or item.get("function_call"))
    if speaker == "function_call" and content and (calls_in_text := _calls(parsed(content))):
        content, calls = "", calls_in_text
    if role is None or content is None:
        return None
    thought = item.get("reasoning_content") or item.get("thinking")
    if role == "assistant" and isinstance(thought, str) and thought.strip() and "<think>" not in content:
        content = f"<think>\n{thought.strip()}\n</think>\n\n{content}"
    turn: dict[str, Any] = {"role": role, "content": content}
    turn |= {key: item[key] for key in NAMES if isinstance(item.get(key), str) and item[key]}
    if role == "assistant" and calls:
        turn[CALLS] = calls
    if item.get(UNTRAINED) == 0:
        turn[UNTRAINED] = 0
    return turn


def has_content(turn: dict[str, Any]) -> bool:
    """Return whether a message has text or a tool call."""
    return bool(turn["content"].strip() or turn.get(CALLS))


def without_reasoning(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the messages with the reasoning removed from replies."""
    return [
        {**turn, "content": THOUGHT.sub("", turn["content"])} if turn["role"] == "assistant" else turn for turn in turns
    ]


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


def _content(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict) and part.get("type", "text") == "text"]
        if len(parts) == len(value) and all(isinstance(part, str) for part in parts):
            return "".join(str(part) for part in parts)
    return "" if is_blank(value) else None
