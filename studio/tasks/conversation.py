"""Turns of a conversation in the shapes that people bring, read as role and content. Knows no tokenizer."""

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
"""What speakers are called in the formats of LLaMA-Factory, ShareGPT, OpenAI and others → role."""
UNTRAINED = "weight"
"""OpenAI's files mark a reply that is not to be learned with a weight of 0."""


TOOLS, CALLS = "tools", "tool_calls"
"""The first turn of a conversation may carry the tools that a model can call; a turn of its own the calls it makes."""
NAMES = ("name", "tool_call_id")
"""Who speaks, and which call is answered: kept for the chat templates that write or ask for it."""
_ARRAY = re.compile(r"\barray\((\[[^\]]*\]), dtype=\w+\)")
"""How NumPy writes a list that pandas puts into a CSV."""
THOUGHT = re.compile(r"<think>.*?</think>\s*", re.DOTALL)
"""What a model thinks before it replies, as it stands in replies."""


def turns_of(value: Any) -> list[dict[str, Any]] | None:
    """The turns that a cell holds, or None when it holds none that can be read."""
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, dict):
        value = value.get("messages", value.get("conversations"))
    if not isinstance(value, list) or not value:
        return None
    turns = []
    for item in value:
        turn = _turn(item)
        if turn is None:
            return None
        turns.append(turn)
    return turns


def history_of(value: Any) -> list[dict[str, Any]]:
    """Earlier turns as pairs of question and answer, the way Alpaca's `history` has them."""
    if isinstance(value, str):
        value = parsed(value)
    turns = []
    for pair in value if isinstance(value, list) else ():
        if isinstance(pair, list) and len(pair) == 2:
            turns.append({"role": "user", "content": str(pair[0])})
            turns.append({"role": "assistant", "content": str(pair[1])})
    return turns


def parsed(text: str) -> Any:
    """A list or an object that a CSV holds as JSON, or as Python writes it (pandas does); None where it is neither."""
    text = text.strip()
    if not text.startswith(("[", "{")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    for written in (text, _ARRAY.sub(r"\1", text)):
        try:
            return ast.literal_eval(written)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _turn(item: Any) -> dict[str, Any] | None:
    if not isinstance(item, dict):
        return None
    speaker = str(item.get("role", item.get("from", ""))).strip().lower()
    role, content = ROLES.get(speaker), _content(item.get("content", item.get("value")))
    calls = _calls(item.get(CALLS) or item.get("function_call"))
    if speaker == "function_call" and content and (written := _calls(parsed(content))):
        content, calls = "", written
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


def says(turn: dict[str, Any]) -> bool:
    """Whether a turn says anything: words, or the call of a tool."""
    return bool(turn["content"].strip() or turn.get(CALLS))


def without_thoughts(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Replies without what is thought before them."""
    return [
        {**turn, "content": THOUGHT.sub("", turn["content"])} if turn["role"] == "assistant" else turn for turn in turns
    ]


def last_learned(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All replies but the last are read and not learned."""
    last = max((place for place, turn in enumerate(turns) if turn["role"] == "assistant"), default=-1)
    return [
        {**turn, UNTRAINED: 0} if turn["role"] == "assistant" and place != last else turn
        for place, turn in enumerate(turns)
    ]


def tools_of(value: Any) -> list[dict[str, Any]] | None:
    """The tools that a cell describes, in OpenAI's form; None when it describes none."""
    if isinstance(value, str):
        value = parsed(value)
    if isinstance(value, dict):
        value = [value]
    found = [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
    return [each if "function" in each else {"type": "function", "function": each} for each in found] or None


def _calls(value: Any) -> list[dict[str, Any]]:
    """Calls of tools in OpenAI's form, their arguments as an object."""
    calls = []
    for each in value if isinstance(value, list) else [value]:
        told = each.get("function", each) if isinstance(each, dict) else None
        if not isinstance(told, dict) or not isinstance(told.get("name"), str):
            continue
        given = told.get("arguments", told.get("parameters", {}))
        given = parsed(given) if isinstance(given, str) else given
        known = {"id": each["id"]} if isinstance(each.get("id"), str) else {}
        calls.append({**known, "type": "function", "function": {"name": told["name"], "arguments": given or {}}})
    return calls


def _content(value: Any) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [part.get("text") for part in value if isinstance(part, dict) and part.get("type", "text") == "text"]
        if len(parts) == len(value) and all(isinstance(part, str) for part in parts):
            return "".join(str(part) for part in parts)
    return "" if is_blank(value) else None
