"""Feedback: replies with a thumb up or down. No preference pairs are needed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from studio.data.thumbs import thumb_of
from studio.tasks.base import Encoding, Example, Role, Row, TaskVariant
from studio.tasks.chat import CONTEXT, HISTORY, MESSAGES, PROMPT, REPLY, SYSTEM, Chat
from studio.tasks.conversation import train_last_reply_only
from studio.tasks.text_to_text import conversation_example

_THUMB = tuple(
    "thumb, thumbs, thumbs up, feedback, liked, kto tag, label, desirable, is good, good, vote, upvote, upvoted, "
    "rating, accepted, helpful".split(", ")
)


class Feedback(Chat):
    """Kahneman-Tversky optimization (KTO) on single replies, with the base model as reference."""

    name = "feedback"
    title = "Learn from thumbs"
    sentence = "Gives more replies that users liked, and fewer that they did not."
    term = "Kahneman-Tversky optimization (KTO)"
    sample_in = "Where is my refund? · It left us on Monday."
    sample_out = "thumbs up"
    roles: tuple[Role, ...] = (
        MESSAGES,
        PROMPT,
        REPLY,
        Role(
            "thumb",
            "Thumb",
            "Whether a user liked the reply: yes or no, up or down, 1 or 0.",
            True,
            _THUMB,
            "thumb",
            beside_turns=True,
        ),
        CONTEXT,
        SYSTEM,
        HISTORY,
    )
    alternatives: tuple[tuple[str, ...], ...] = (("prompt", "reply", "thumb"), ("messages", "thumb"))
    settings: tuple[str, ...] = ("system_prompt", "beta")
    example_roles: tuple[str, ...] = ("prompt", "reply", "thumb")
    example_rows: tuple[tuple[str, ...], ...] = (
        ("Where is my refund?", "It left us on Monday.", "up"),
        ("Do you ship to Norway?", "No idea.", "down"),
    )
    example_note = ""
    reads_as = "each row is a prompt and a reply with thumbs up or down."
    labeling = ""
    rate_factor = 0.1
    rate_reason = "a tenth of the usual rate, since KTO changes a model quickly"
    trainer = "feedback"
    metrics: tuple[str, ...] = ("thumbs_told_apart", "reward_gap")

    def values(self, row: Row, roles: Mapping[str, str]) -> dict[str, Any]:
        """Return the values of chat, and the thumb as True or False."""
        values = super().values(row, roles)
        for column, role in roles.items():
            if role == "thumb":
                values[role] = thumb_of(row.get(column))
        return values

    def lacks(self, values: Mapping[str, Any], roles: Mapping[str, str]) -> str:
        """Return the role that a conversation lacks, or the thumb."""
        return super().lacks(values, roles) or ("thumb" if values.get("thumb") is None else "")

    def variant(self, kind: str, roles: Mapping[str, str]) -> TaskVariant:
        """Use a language model that learns which replies are liked."""
        return replace(super().variant(kind, roles), loss="preference")

    def encode(self, row: Row, encoding: Encoding) -> Example:
        """Return the conversation up to its last reply, which the thumb is about."""
        turns = self.turns(row, encoding.roles, encoding.system_prompt)
        last = max((place for place, turn in enumerate(turns) if turn["role"] == "assistant"), default=len(turns) - 1)
        is_liked = bool(self.values(row, encoding.roles).get("thumb"))
        encoded = conversation_example(train_last_reply_only(turns[: last + 1]), encoding)
        return replace(encoded, liked=is_liked, label="thumbs up" if is_liked else "thumbs down")

    def liked(self, row: Row, roles: Mapping[str, str]) -> bool:
        """Return whether a row has a thumb up."""
        return bool(self.values(row, roles).get("thumb"))
