"""Requests that wait for the main thread: chats, short requests, and longer work.

Each kind alternates between workspaces. One workspace with many requests delays another by at most one request.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from studio.schema.host import AnyRequest, Chat, Classify, Load, Suggest, Unload

SHORT = (Load, Classify, Suggest, Unload)
"""Short requests that a person waits for. They are not interrupted."""
Allowed = Callable[[AnyRequest], bool]


class FairQueue:
    """Requests by workspace. Workspaces take turns."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, deque[AnyRequest]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, request: AnyRequest) -> None:
        """Add a request to the requests of its workspace."""
        self._waiting.setdefault(request.workspace, deque()).append(request)

    def take(self, allowed: Allowed = lambda request: True) -> AnyRequest | None:
        """Remove and return the next request that may begin. Its workspace moves to the end of the order."""
        for workspace, waiting in self._waiting.items():
            if allowed(waiting[0]):
                request = waiting.popleft()
                self._waiting.move_to_end(workspace)
                if not waiting:
                    del self._waiting[workspace]
                return request
        return None

    def remove(self, name: str) -> bool:
        """Remove a request by its id. Returns False when it is not here."""
        for workspace, waiting in self._waiting.items():
            for request in waiting:
                if request.id == name:
                    waiting.remove(request)
                    if not waiting:
                        del self._waiting[workspace]
                    return True
        return False


class Inbox:
    """Requests that need a model. It is closed when stdin ends."""

    def __init__(self) -> None:
        self._chats, self._short, self._work = FairQueue(), FairQueue(), FairQueue()
        self._arrived = threading.Condition()
        self.closed = False

    def put(self, request: AnyRequest) -> None:
        """Add a request."""
        with self._arrived:
            kind = (
                self._chats if isinstance(request, Chat) else self._short if isinstance(request, SHORT) else self._work
            )
            kind.put(request)
            self._arrived.notify()

    def close(self) -> None:
        """Accept no more requests, and drop the waiting ones."""
        with self._arrived:
            self.closed = True
            self._arrived.notify()

    def wait(self, seconds: float) -> bool:
        """Wait for a request. Returns False when none came in time or the inbox is closed."""
        with self._arrived:
            self._arrived.wait_for(lambda: self.closed or self._chats or self._short or self._work, seconds)
            return bool(self._chats or self._short or self._work) and not self.closed

    @property
    def has_interactive(self) -> bool:
        """Whether a chat or a short request waits."""
        return bool(self._chats or self._short)

    def next_chat(self, allowed: Allowed) -> AnyRequest | None:
        """The next chat that may begin."""
        return self._take(self._chats, allowed)

    def next_short(self) -> AnyRequest | None:
        """The next short request."""
        return self._take(self._short)

    def next_work(self) -> AnyRequest | None:
        """The next request of longer work."""
        return self._take(self._work)

    def remove(self, name: str) -> bool:
        """Remove a request that was cancelled before it began. Returns False when it does not wait."""
        with self._arrived:
            return any(queue.remove(name) for queue in (self._chats, self._short, self._work))

    def _take(self, queue: FairQueue, allowed: Allowed = lambda request: True) -> AnyRequest | None:
        with self._arrived:
            return None if self.closed else queue.take(allowed)
