"""Preference: a prompt with two replies, of which one is better; the model learns to lean towards such as that."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from studio.data.values import text_of
from studio.tasks.base import Encoding, Example, Role, Row
from studio.tasks.chat import PROMPT_NAMES, SYSTEM, Chat
from studio.tasks.conversation import last_learned, turns_of

_CHOSEN = ("chosen", "preferred", "accepted", "better", "good", "winner", "best", "positive")
_REJECTED = ("rejected", "dispreferred", "worse", "bad", "loser", "worst", "negative")
EQUAL = "equal-pair"


class Preference(Chat):
    """Direct preference optimisation on pairs; the base as it was is what the model is held to."""

    name = "preference"
    title = "Prefer better answers"
    sentence = "Lean towards the better of two replies."
    term = "Direct preference optimization (DPO)"
    sample_in = "Where is my refund?"
    sample_out = "It left us on Monday. · rather than: Please wait."
    roles: tuple[Role, ...] = (
        Role("prompt", "Prompt", "What a person asks or says.", True, PROMPT_NAMES, "reply"),
        Role("chosen", "Better reply", "The reply that is to be preferred.", True, _CHOSEN, "reply"),
        Role("rejected", "Worse reply", "The reply that is to be avoided.", True, _REJECTED, "reply"),
        Role(
            "messages",
            "Conversation",
            "The turns before the two replies, in one cell.",
            False,
            ("messages", "conversations", "conversation", "context"),
            "turns",
            beside_turns=True,
        ),
        SYSTEM,
    )
    alternatives: tuple[tuple[str, ...], ...] = (
        ("prompt", "chosen", "rejected"),
        ("messages", "chosen", "rejected"),
        ("chosen", "rejected"),
    )
    sequences = 2
    trainer = "preference"
    metrics: tuple[str, ...] = ("preferred", "reward_accuracy", "reward_margin")

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """The turns before, and both replies as texts, whatever form they came in."""
        cells = {role: row.get(column) for column, role in roles.items()}
        before, replies = _before(cells), {name: _turns(cells.get(name)) for name in ("chosen", "rejected")}
        both = [turns for turns in replies.values() if turns]
        if not before and len(both) == 2:
            before = _common(*both)
        values: dict[str, Any] = {role: None for role in cells}
        values |= {name: turns[-1]["content"].strip() or None for name, turns in replies.items() if turns}
        said = [values.get(name) for name in replies]
        if before and before[-1]["role"] == "assistant" and before[-1]["content"].strip() in said:
            before = before[:-1]  # a whole conversation: its last reply is one of the two
        values["system"] = text_of(cells.get("system"))
        values["prompt" if "prompt" in cells or "messages" not in cells else "messages"] = before or None
        return values

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """The question or the reply that a row lacks."""
        asked = [turn for turn in _turns_in(values) if turn["role"] == "user"]
        if not any(turn["content"].strip() for turn in asked):
            return "messages" if "messages" in roles.values() and "prompt" not in roles.values() else "prompt"
        return next((role for role in ("chosen", "rejected") if not values.get(role)), "")

    def inconsistency(self, values: Mapping[str, Any]) -> str:
        """Of two replies that are one nothing can be learned."""
        return EQUAL if values["chosen"] == values["rejected"] else ""

    def turns(self, row: Row, roles: Mapping[str, str], system_prompt: str = "") -> list[dict[str, Any]]:
        """The conversation with the better reply."""
        values = self.values(row, roles)
        return self._with(values, values.get("chosen"), system_prompt)

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """The conversation with the better reply, and beside it the one with the worse."""
        values = self.values(row, encoding.roles)
        better, worse = (
            self.encode_turns(last_learned(self._with(values, values[name], encoding.system_prompt)), encoding)
            for name in ("chosen", "rejected")
        )
        return replace(better, other=worse)

    def text_in(self, values: Mapping[str, Any]) -> str:
        """What people say before the replies."""
        return "\n\n".join(turn["content"] for turn in _turns_in(values) if turn["role"] == "user")

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """The better reply."""
        return values.get("chosen") or ""

    def _with(self, values: Mapping[str, Any], reply: str | None, system_prompt: str) -> list[dict[str, Any]]:
        turns = list(_turns_in(values))
        system = values.get("system") or system_prompt
        if system and (not turns or turns[0]["role"] != "system"):
            turns.insert(0, {"role": "system", "content": system})
        return [*turns, {"role": "assistant", "content": reply}] if reply else turns


def _turns_in(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return values.get("messages") or values.get("prompt") or []


def _before(cells: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The turns of the columns that hold what comes before the replies."""
    turns = list(turns_of(cells.get("messages")) or [])
    prompt = turns_of(cells.get("prompt"))
    if prompt:
        return [*turns, *prompt]
    text = text_of(cells.get("prompt"))
    asked = [place for place, turn in enumerate(turns) if turn["role"] == "user"]
    if asked and turns[asked[-1]]["content"].strip() == text:
        return turns[: asked[-1] + 1]  # as in UltraFeedback, where the conversation holds the prompt and the reply too
    return [*turns, {"role": "user", "content": text}] if text else turns


def _turns(cell: Any) -> list[dict[str, Any]]:
    """A reply as turns, the last of which is the reply: a text, one turn, or a whole conversation."""
    turns = turns_of([cell] if isinstance(cell, dict) and "messages" not in cell else cell)
    if turns:
        return turns if turns[-1]["role"] == "assistant" else []
    text = text_of(cell)
    return [{"role": "assistant", "content": text}] if text else []


def _common(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns that two conversations begin with alike, their last replies left out."""
    same = []
    for mine, yours in zip(one[:-1], other[:-1], strict=False):
        if mine != yours:
            break
        same.append(mine)
    return same
