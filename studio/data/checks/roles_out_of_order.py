"""Conversations whose turns do not follow each other as a chat does: person, model, person, model."""

from typing import Any

from studio.data.checks.base import Check, Context, Seen
from studio.data.phrases import many
from studio.schema.dataset import Problem

_NEXT = {
    "": ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}
"""Role → roles that may speak next; the empty one stands for the start."""


def in_order(turns: list[dict[str, Any]]) -> bool:
    """Whether every turn may follow the one before it."""
    before = ""
    for turn in turns:
        if turn["role"] not in _NEXT[before]:
            return False
        before = turn["role"]
    return True


class RolesOutOfOrder(Check):
    kind = "roles-out-of-order"

    @classmethod
    def applies(cls, context: Context) -> bool:
        return "messages" in context.roles.values()

    def see(self, seen: Seen) -> None:
        if not in_order(seen.values["messages"]):
            self.found.append(seen.number)

    def problems(self) -> list[Problem]:
        if not self.found:
            return []
        return [
            self.problem(
                "warning",
                f"In {many(len(self.found), 'conversation')} the turns are out of order: two by the same side, or the "
                "model speaks first.",
                "Many models refuse such conversations, and others learn to answer themselves.",
                "Leave them out",
            )
        ]
