"""Where the replies of a conversation stand in its text, whatever a template makes of them. It knows no tokenizer.

Mostly a reply is what comes between the text up to where it is asked for and the text up to its end. Some templates
write earlier turns otherwise than the last one (without what was thought, with no mark of the end, a call of a tool in
another frame). There the reply is told by writing the conversation with other words in its place: what differs is it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.tasks.conversation import CALLS

Turns = Sequence[Mapping[str, Any]]
Written = Callable[..., str]
"""Turns → their text; with `asks` a reply is asked for at its end."""
OTHER = "\ue000\ue001"
"""Stands in place of a reply: letters of nobody's, which stand in no text."""
_THOUGHT = "</think>"


def spans_of_replies(turns: Turns, text: str, written: Written) -> list[tuple[int, int]]:
    """Where each reply begins and ends in the text, as characters."""
    spans: list[tuple[int, int]] = []
    for index, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        after = spans[-1][1] if spans else 0
        asked = written(turns[:index], asks=True) if index else ""
        upto = text if index == len(turns) - 1 else written(turns[: index + 1])
        as_usual = index > 0 and text.startswith(asked) and text.startswith(upto)
        if as_usual and after <= len(asked) < len(upto):
            spans.append((len(asked), len(upto)))
        else:
            spans.append(_told_apart(turns, index, text, written, asked, upto, after))
    return spans


def _told_apart(
    turns: Turns, index: int, text: str, written: Written, asked: str, upto: str, after: int
) -> tuple[int, int]:
    """A reply by what differs when another one stands in its place."""
    others = [*turns[:index], _another(turns[index]), *turns[index + 1 :]]
    begin, end = _differing(text, written(others))
    if begin >= end:  # the template does not write it
        begin, end = max(after, common(text, asked)), max(after, common(text, upto))
        return begin, max(begin, end)
    stop = _differing(upto, written(others[: index + 1]))[1]
    end += common(text[end:], upto[stop:])
    return max(after, _head(text, after, begin, asked, written(turns[:index]) if index else "")), end


def _head(text: str, after: int, begin: int, asked: str, before: str) -> int:
    """Where a reply begins that is known to stand at `begin`: behind the words that ask for it, as far as the text has
    them. What a template puts between the two, a frame for thoughts say, is a part of the reply."""
    asks = asked[common(asked, before) :]
    for length in range(len(asks), len(asks) // 3, -1):
        if (at := text.rfind(asks[:length], after, begin)) >= 0:
            return at + length
    return begin


def _another(turn: Mapping[str, Any]) -> dict[str, Any]:
    """A turn that says something else: behind its thoughts, and in the calls of tools."""
    content = turn["content"]
    thought = content.rfind(_THOUGHT) + len(_THOUGHT) if _THOUGHT in content else 0
    said = content[thought:]
    kept = content[:thought] + said[: len(said) - len(said.lstrip())]
    other = {**turn, "content": kept + OTHER if said.strip() or not turn.get(CALLS) else content}
    if turn.get(CALLS):
        calls = [{**call, "function": {**call["function"], "name": OTHER}} for call in turn[CALLS]]
        other[CALLS] = calls
    return other


def _differing(text: str, other: str) -> tuple[int, int]:
    """The part of a text in which another one differs from it."""
    begin = common(text, other)
    most = min(len(text), len(other)) - begin
    tail = common(text[len(text) - most :][::-1], other[len(other) - most :][::-1]) if most else 0
    return begin, len(text) - tail


def common(text: str, other: str) -> int:
    """Characters that two texts begin with alike."""
    low, high = 0, min(len(text), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if text.startswith(other[:middle]) else (low, middle - 1)
    return low
