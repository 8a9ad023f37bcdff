"""Conversations whose messages are not in the order of a chat: user, assistant, user, assistant."""

from typing import Any

from studio.data.checks.base import Check, Context, RowView
from studio.schema.numbers import plural

_NEXT = {
    "": ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}
"""Role → roles that can follow it. The empty role is the start."""


def in_order(messages: list[dict[str, Any]]) -> bool:
    """Return whether every message can follow the one before it."""
    before = ""
    for message in messages:
        if message["role"] not in _NEXT[before]:
            return False
        before = message["role"]
    return True


class RolesOutOfOrder(Check):
    kind = "roles-out-of-order"
    why = "Many models reject such conversations. Others learn to answer their own messages."
    fix = "Leave them out"

    @classmethod
    def applies(cls, context: Context) -> bool:
        return "messages" in context.roles.values()

    def visit(self, view: RowView) -> None:
        if not in_order(view.values.get("messages") or []):
            self.row_numbers.append(view.number)

    def message(self) -> str:
        return plural(
            len(self.row_numbers),
            "{n} conversation has messages out of order: two from the same side, or the assistant comes first.",
            "{n} conversations have messages out of order: two from the same side, or the assistant comes first.",
        )
