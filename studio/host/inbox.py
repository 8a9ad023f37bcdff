"""Requests that wait for the main thread: chats and short requests, then longer work.

Within each kind the workspaces take turns, so that one with many requests delays another by one request at most.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from studio.schema.host import AnyRequest, Chat, Classify, Load, Suggest, Unload

TALK = (Load, Classify, Suggest, Unload)
"""Short requests that a person waits for. They are not interrupted."""
Allowed = Callable[[AnyRequest], bool]


class Turns:
    """Requests by workspace. Each workspace has its turn."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[AnyRequest]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, request: AnyRequest) -> None:
        """Let a request wait for its workspace's turn."""
        self._waiting.setdefault(request.workspace, deque()).append(request)

    def take(self, allowed: Allowed = lambda request: True) -> AnyRequest | None:
        """The next request that may begin; its workspace is the last one to have a turn again."""
        for workspace, waiting in self._waiting.items():
            if allowed(waiting[0]):
                request = waiting.popleft()
                self._waiting.move_to_end(workspace)
                if not waiting:
                    del self._waiting[workspace]
                return request
        return None

    def remove(self, name: str) -> bool:
        """Take a request out that is no longer wanted; False when it is not here."""
        for workspace, waiting in self._waiting.items():
            for request in waiting:
                if request.id == name:
                    waiting.remove(request)
                    if not waiting:
                        del self._waiting[workspace]
                    return True
        return False


class Inbox:
    """Requests that need a model; closed when stdin ends."""

    def __init__(self) -> None:
        self._chats, self._talk, self._work = Turns(), Turns(), Turns()
        self._arrived = threading.Condition()
        self.closed = False

    def put(self, request: AnyRequest) -> None:
        """Add a request."""
        with self._arrived:
            kind = self._chats if isinstance(request, Chat) else self._talk if isinstance(request, TALK) else self._work
            kind.put(request)
            self._arrived.notify()

    def close(self) -> None:
        """There will be no more requests, and those that wait are dropped."""
        with self._arrived:
            self.closed = True
            self._arrived.notify()

    def wait(self, seconds: float) -> bool:
        """Wait for a request; False when none came in this time, or the inbox is closed."""
        with self._arrived:
            self._arrived.wait_for(lambda: self.closed or self._chats or self._talk or self._work, seconds)
            return bool(self._chats or self._talk or self._work) and not self.closed

    @property
    def someone_waits(self) -> bool:
        """Whether a chat or a short request waits."""
        return bool(self._chats or self._talk)

    def next_chat(self, allowed: Allowed) -> AnyRequest | None:
        """The next chat that may begin."""
        return self._take(self._chats, allowed)

    def next_talk(self) -> AnyRequest | None:
        """The next short request."""
        return self._take(self._talk)

    def next_work(self) -> AnyRequest | None:
        """The next piece of longer work."""
        return self._take(self._work)

    def remove(self, name: str) -> bool:
        """Take a request out that was stopped before it began; False when it does not wait."""
        with self._arrived:
            return any(turns.remove(name) for turns in (self._chats, self._talk, self._work))

    def _take(self, turns: Turns, allowed: Allowed = lambda request: True) -> AnyRequest | None:
        with self._arrived:
            return None if self.closed else turns.take(allowed)
