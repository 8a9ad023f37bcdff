"""Chats that are answered at the same time: each gets one token in turn."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from studio.host.answers import chat
from studio.schema.host import AnyRequest, Chat

if TYPE_CHECKING:
    from studio.host.host import Host

MOST_OPEN = 32
"""Chats that are answered at the same time. Each keeps two caches of its tokens in memory."""
MOST_OPEN_EACH = 4
"""Of one workspace."""


@dataclass(eq=False)
class _Open:
    request: Chat
    steps: Iterator[Literal[True]]


class Chats:
    """The open chats of a host."""

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._open: list[_Open] = []

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def first(self) -> str | None:
        """The id of the chat that has been open for the longest time."""
        return self._open[0].request.id if self._open else None

    def may_begin(self, request: AnyRequest) -> bool:
        """Whether there is a place, and memory, for one more."""
        assert isinstance(request, Chat)
        of_workspace = sum(each.request.workspace == request.workspace for each in self._open)
        if len(self._open) >= MOST_OPEN or of_workspace >= MOST_OPEN_EACH:
            return False
        return not self._open or self._host.shelf.has_room(request.run)

    def begin(self, request: AnyRequest) -> None:
        """Open a chat. It is answered by `advance`."""
        assert isinstance(request, Chat)
        self._open.append(_Open(request, chat(self._host, request)))

    def advance(self) -> None:
        """One token of each open chat. An error of one does not touch the others."""
        for each in tuple(self._open):
            found = self._host.protected(each.request, partial(next, each.steps, {}))
            if found is not True:
                self._open.remove(each)
                self._host.finish(each.request, found)
