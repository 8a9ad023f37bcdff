"""Answers several chats at the same time, one token of each in turn."""

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
"""Chats that are open at the same time. Each keeps two key-value caches in memory."""
MOST_OPEN_EACH = 4
"""The same limit for one workspace."""
STEPS = 4
"""Tokens generated between two checks for a new chat. A new chat gets its first token at once."""
SPEAKERS = ("base", "tuned")


@dataclass(eq=False)
class _OpenChat:
    request: Chat
    steps: Iterator[Literal[True]]


class Chats:
    """The open chats of a host."""

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._open: deque[_OpenChat] = deque()
        """The next chat to advance is at the left end."""

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def first(self) -> str | None:
        """The id of an open chat, or None."""
        return self._open[0].request.id if self._open else None

    def may_begin(self, request: AnyRequest) -> bool:
        """Whether the limits and the memory allow one more chat."""
        assert isinstance(request, Chat)
        of_workspace = sum(each.request.workspace == request.workspace for each in self._open)
        if len(self._open) >= MOST_OPEN or of_workspace >= MOST_OPEN_EACH:
            return False
        return not self._open or self._host.model_cache.has_room(request.run)

    def begin(self, request: AnyRequest) -> None:
        """Open a chat and send the first token of both models. `advance` sends the rest."""
        assert isinstance(request, Chat)
        open_chat = _OpenChat(request, chat(self._host, request))
        self._open.append(open_chat)
        for _ in SPEAKERS:
            if open_chat in self._open:
                self._step(open_chat)

    def advance(self) -> None:
        """Generate up to `STEPS` tokens, one from each chat in turn."""
        for _ in range(min(STEPS, len(self._open))):
            if self._open:
                open_chat = self._open[0]
                self._open.rotate(-1)
                self._step(open_chat)

    def _step(self, open_chat: _OpenChat) -> None:
        """Generate one token of a chat. An error ends only that chat."""
        result = self._host.run_guarded(open_chat.request, partial(next, open_chat.steps, {}))
        if result is not True:
            self._open.remove(open_chat)
            self._host.finish(open_chat.request, result)
