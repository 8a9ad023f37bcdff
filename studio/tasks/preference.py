"""Preference: a prompt with two replies, of which one is better. The model learns to prefer such replies."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from studio.data.values import text_of
from studio.tasks.base import Encoding, Example, Role, Row, TaskVariant
from studio.tasks.chat import PROMPT_NAMES, SYSTEM, Chat
from studio.tasks.conversation import messages_of, train_last_reply_only, transcript_of
from studio.tasks.text_to_text import conversation_example

_CHOSEN = (
    "chosen",
    "chosen messages",
    "preferred",
    "accepted",
    "better",
    "good",
    "winner",
    "best",
    "positive",
    "preferred output",
)
_REJECTED = (
    "rejected",
    "rejected messages",
    "dispreferred",
    "worse",
    "bad",
    "loser",
    "worst",
    "negative",
    "non preferred output",
)
EQUAL, DIFFERENT_PROMPTS = "equal-pair", "different-prompts"


class Preference(Chat):
    """Direct preference optimization (DPO) on pairs, with the base model as reference."""

    name = "preference"
    title = "Prefer better answers"
    sentence = "Learns to give the better of two replies."
    term = "Direct preference optimization (DPO)"
    sample_in = "Where is my refund?"
    sample_out = "It left us on Monday. · instead of: Please wait."
    roles: tuple[Role, ...] = (
        Role("prompt", "Prompt", "What the user writes.", True, PROMPT_NAMES, "reply"),
        Role("chosen", "Better reply", "The reply that the model should prefer (chosen).", True, _CHOSEN, "reply"),
        Role("rejected", "Worse reply", "The reply that the model should avoid (rejected).", True, _REJECTED, "reply"),
        Role(
            "messages",
            "Conversation",
            "The messages before the two replies, in one cell.",
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
    settings: tuple[str, ...] = ("system_prompt", "beta", "preference_loss")
    example_roles: tuple[str, ...] = ("prompt", "chosen", "rejected")
    example_rows: tuple[tuple[str, ...], ...] = (
        ("Where is my refund?", "It left us on Monday.", "Please wait."),
        ("Hi", "Hello. How can I help?", "What?"),
    )
    example_note = ""
    reads_as = "each row is a prompt with a better and a worse reply."
    labeling = "choice"
    rate_factor = 0.1
    rate_reason = "a tenth of the usual rate, since DPO changes a model quickly"
    sequences = 2
    trainer = "preference"
    metrics: tuple[str, ...] = ("preferred", "reward_accuracy", "reward_margin")

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """Return the messages before the replies, and both replies as texts, from any supported format."""
        cells = {role: row.get(column) for column, role in roles.items()}
        before = _before(cells)
        replies = {name: _reply_messages(cells.get(name), bool(before)) for name in ("chosen", "rejected")}
        both = [turns for turns in replies.values() if turns]
        values: dict[str, Any] = {role: None for role in cells}
        if not before and len(both) == 2:
            before, other = both[0][:-1], both[1][:-1]
            if before and other and _words(before) != _words(other):
                values[DIFFERENT_PROMPTS] = True
            before = before or other
        values |= {name: turns[-1]["content"].strip() for name, turns in replies.items() if turns}
        texts = [values.get(name) for name in replies]
        if before and before[-1]["role"] == "assistant" and before[-1]["content"].strip() in texts:
            before = before[:-1]  # a whole conversation: its last reply is one of both
        values["system"] = text_of(cells.get("system"))
        values["prompt" if "prompt" in cells or "messages" not in cells else "messages"] = before or None
        return values

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """Return the prompt or the reply that a row lacks. Without a prompt column, the replies hold the prompt."""
        prompt_role = next((role for role in ("prompt", "messages") if role in roles.values()), "")
        user_messages = [turn for turn in _messages_in(values) if turn["role"] == "user"]
        has_prompt = any(turn["content"].strip() for turn in user_messages)
        if prompt_role and not has_prompt:
            return prompt_role
        lacking_reply = next((role for role in ("chosen", "rejected") if not values.get(role)), "")
        return lacking_reply or ("" if has_prompt else "prompt")

    def inconsistency(self, values: Mapping[str, Any]) -> str:
        """Return `equal-pair` if both replies are the same, `different-prompts` if they follow different messages."""
        if values.get(DIFFERENT_PROMPTS):
            return DIFFERENT_PROMPTS
        return EQUAL if values["chosen"] == values["rejected"] else ""

    def variant(self, kind: str, roles: Mapping[str, str]) -> TaskVariant:
        """Use a language model that learns the difference of both replies."""
        return replace(super().variant(kind, roles), loss="preference")

    def turns(self, row: Row, roles: Mapping[str, str], system_prompt: str = "") -> list[dict[str, Any]]:
        """Return the conversation with the chosen reply."""
        values = self.values(row, roles)
        return self._with_reply(values, values.get("chosen"), system_prompt)

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """Return the conversation with the chosen reply; `other` has the rejected reply."""
        values = self.values(row, encoding.roles)
        better, worse = (
            conversation_example(
                train_last_reply_only(self._with_reply(values, values[name], encoding.system_prompt)), encoding
            )
            for name in ("chosen", "rejected")
        )
        return replace(better, other=worse)

    def text_in(self, values: Mapping[str, Any]) -> str:
        """Return the user messages before the replies."""
        return "\n\n".join(turn["content"] for turn in _messages_in(values) if turn["role"] == "user")

    def expected_in(self, values: Mapping[str, Any]) -> str:
        """Return the chosen reply."""
        return values.get("chosen") or ""

    def _with_reply(self, values: Mapping[str, Any], reply: str | None, system_prompt: str) -> list[dict[str, Any]]:
        turns = list(_messages_in(values))
        system = values.get("system") or system_prompt
        if system and (not turns or turns[0]["role"] != "system"):
            turns.insert(0, {"role": "system", "content": system})
        return [*turns, {"role": "assistant", "content": reply}] if reply else turns


def _messages_in(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return values.get("messages") or values.get("prompt") or []


def _before(cells: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the messages before the replies, from the prompt and messages columns."""
    turns = list(messages_of(cells.get("messages")) or [])
    text = text_of(cells.get("prompt"))
    prompt = messages_of(cells.get("prompt")) or transcript_of(text)
    if prompt:
        return [*turns, *prompt]
    user_positions = [place for place, turn in enumerate(turns) if turn["role"] == "user"]
    if user_positions and turns[user_positions[-1]]["content"].strip() == text:
        return turns[: user_positions[-1] + 1]  # as in UltraFeedback: the conversation has the prompt and the reply
    return [*turns, {"role": "user", "content": text}] if text else turns


def _words(turns: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Return what makes messages the same: roles, texts and tool calls, without ids and weights."""
    return [
        (turn["role"], turn["content"].strip(), [call.get("function") for call in turn.get("tool_calls") or ()])
        for turn in turns
    ]


def _reply_messages(cell: Any, has_prompt: bool) -> list[dict[str, Any]]:
    """Return a reply as messages that end with it. The cell can hold a text, one message, or a conversation.

    A text is read as a transcript only without a prompt: a reply may be a dialogue.

    The reply is empty if a conversation has none at its end. Return no messages for an empty or unreadable cell.
    """
    text = text_of(cell)
    turns = messages_of([cell] if isinstance(cell, dict) and "messages" not in cell else cell)
    turns = turns or (None if has_prompt else transcript_of(text))
    if turns:
        return turns if turns[-1]["role"] == "assistant" else [*turns, {"role": "assistant", "content": ""}]
    return [{"role": "assistant", "content": text}] if text else []
