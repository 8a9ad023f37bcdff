"""Chats that are answered at the same time: each gets one token in turn."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from studio.host.handlers import chat
from studio.schema.host import AnyRequest, Chat

if TYPE_CHECKING:
    from studio.host.host import Host

MOST_OPEN = 32
"""Chats that are answered at the same time. Each keeps two caches of its tokens in memory."""
MOST_OPEN_EACH = 4
"""Of one workspace."""
STEPS = 4
"""Tokens of open chats between two looks for a new one, which has its first token at once."""
WHO = ("base", "tuned")


@dataclass(eq=False)
class _Open:
    request: Chat
    steps: Iterator[Literal[True]]


class Chats:
    """The open chats of a host."""

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._open: deque[_Open] = deque()
        """The one that is advanced next comes first."""

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def first(self) -> str | None:
        """The id of an open chat."""
        return self._open[0].request.id if self._open else None

    def may_begin(self, request: AnyRequest) -> bool:
        """Whether there is a place, and memory, for one more."""
        assert isinstance(request, Chat)
        of_workspace = sum(each.request.workspace == request.workspace for each in self._open)
        if len(self._open) >= MOST_OPEN or of_workspace >= MOST_OPEN_EACH:
            return False
        return not self._open or self._host.shelf.has_room(request.run)

    def begin(self, request: AnyRequest) -> None:
        """Open a chat, with the first token of both models at once. The others come by `advance`."""
        assert isinstance(request, Chat)
        opened = _Open(request, chat(self._host, request))
        self._open.append(opened)
        for _ in WHO:
            if opened in self._open:
                self._step(opened)

    def advance(self) -> None:
        """A few tokens, each of the chat whose turn it is."""
        for _ in range(min(STEPS, len(self._open))):
            if self._open:
                opened = self._open[0]
                self._open.rotate(-1)
                self._step(opened)

    def _step(self, opened: _Open) -> None:
        """One token of a chat. An error of one does not touch the others."""
        found = self._host.protected(opened.request, partial(next, opened.steps, {}))
        if found is not True:
            self._open.remove(opened)
            self._host.finish(opened.request, found)
