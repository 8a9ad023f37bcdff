"""Requests that wait for the main thread: a person's talk before longer work."""

import threading
from collections import deque

from studio.schema.host import AnyRequest, Chat, Classify, Load, Suggest, Unload

TALK = (Load, Chat, Classify, Suggest, Unload)
"""What a person waits for: goes between the batches of other work."""


class Inbox:
    """Requests that need a model, talk first; closed when stdin ends."""

    def __init__(self) -> None:
        self._talk: deque[AnyRequest] = deque()
        self._work: deque[AnyRequest] = deque()
        self._arrived = threading.Condition()
        self.closed = False

    def put(self, request: AnyRequest) -> None:
        with self._arrived:
            (self._talk if isinstance(request, TALK) else self._work).append(request)
            self._arrived.notify()

    def close(self) -> None:
        with self._arrived:
            self.closed = True
            self._arrived.notify()

    def next(self, seconds: float) -> AnyRequest | None:
        """The next request, None when there is none for so long or the inbox is closed."""
        with self._arrived:
            self._arrived.wait_for(lambda: self.closed or self._talk or self._work, seconds)
            waiting = self._talk or self._work
            return waiting.popleft() if waiting and not self.closed else None

    def next_talk(self) -> AnyRequest | None:
        """A waiting chat, if there is one."""
        with self._arrived:
            return self._talk.popleft() if self._talk else None
