"""Finds the replies of a conversation in its rendered text, for any chat template. Independent of the tokenizer.

A reply usually is the text between the rendering up to its generation prompt and the rendering up to its end. Some
templates render earlier messages differently (without reasoning, without an end token, tool calls in another format).
Then the conversation is rendered with a placeholder as the reply. The reply is the part that differs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.tasks.conversation import CALLS

Turns = Sequence[Mapping[str, Any]]
Render = Callable[..., str]
"""Messages → their text. With `add_generation_prompt`, the text ends with a generation prompt."""
PLACEHOLDER = "\ue000\ue001"
"""Placeholder for a reply: private-use characters that no text contains."""
_THOUGHT = "</think>"


def spans_of_replies(turns: Turns, text: str, render: Render) -> list[tuple[int, int]]:
    """Return (start, end) in characters of each reply in the text."""
    spans: list[tuple[int, int]] = []
    for index, turn in enumerate(turns):
        if turn["role"] == "assistant":
            spans.append(_span_of_reply(turns, index, text, render, spans[-1][1] if spans else 0))
    return spans


def _span_of_reply(turns: Turns, index: int, text: str, render: Render, after: int) -> tuple[int, int]:
    """Find the reply of one message, which begins at `after` or later: by the texts up to its begin and its end, or by
    the difference when another reply is in its place."""
    with_prompt = render(turns[:index], add_generation_prompt=True) if index else ""
    with_reply = text if index == len(turns) - 1 else render(turns[: index + 1])
    is_prefix = index > 0 and text.startswith(with_prompt) and text.startswith(with_reply)
    if is_prefix and after <= len(with_prompt) < len(with_reply):
        return len(with_prompt), len(with_reply)
    others = [*turns[:index], _with_other_reply(turns[index]), *turns[index + 1 :]]
    begin, end = _difference(text, render(others))
    if begin >= end:  # the template does not write it
        begin, end = max(after, common_prefix(text, with_prompt)), max(after, common_prefix(text, with_reply))
        return begin, max(begin, end)
    stop = _difference(with_reply, render(others[: index + 1]))[1]
    end += common_prefix(text[end:], with_reply[stop:])
    return max(after, _reply_start(text, after, begin, with_prompt, render(turns[:index]) if index else "")), end


def _reply_start(text: str, after: int, begin: int, with_prompt: str, before: str) -> int:
    """Return where a reply begins whose content starts at `begin`: after the generation prompt, as far as it is in the
    text. Text that a template adds between both, such as empty reasoning, is part of the reply."""
    generation_prompt = with_prompt[common_prefix(with_prompt, before) :]
    for length in range(len(generation_prompt), len(generation_prompt) // 3, -1):
        if (at := text.rfind(generation_prompt[:length], after, begin)) >= 0:
            return at + length
    return begin


def _with_other_reply(turn: Mapping[str, Any]) -> dict[str, Any]:
    """Return the message with other content after its reasoning, and other tool calls."""
    content = turn["content"]
    thought = content.rfind(_THOUGHT) + len(_THOUGHT) if _THOUGHT in content else 0
    reply = content[thought:]
    kept = content[:thought] + reply[: len(reply) - len(reply.lstrip())]
    other = {**turn, "content": kept + PLACEHOLDER if reply.strip() or not turn.get(CALLS) else content}
    if turn.get(CALLS):
        calls = [{**call, "function": {**call["function"], "name": PLACEHOLDER}} for call in turn[CALLS]]
        other[CALLS] = calls
    return other


def _difference(text: str, other: str) -> tuple[int, int]:
    """Return (start, end) of the part of a text that differs from another text."""
    begin = common_prefix(text, other)
    most = min(len(text), len(other)) - begin
    tail = common_prefix(text[len(text) - most :][::-1], other[len(other) - most :][::-1]) if most else 0
    return begin, len(text) - tail


def common_prefix(text: str, other: str) -> int:
    """Return the length of the common prefix of two texts."""
    low, high = 0, min(len(text), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text.startswith(other[:middle]) else (low, middle - 1)
    return low
