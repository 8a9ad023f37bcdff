"""What the Hub said, kept for some minutes: a page that is drawn again and again asks once."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from studio.schema.errors import StudioError

T = TypeVar("T")
SECONDS, REFUSED_SECONDS = 300.0, 15.0
"""How long an answer is kept, and how long a refusal is, that nobody answered say."""
MOST = 200


class Answers:
    """Answers by question; refusals are kept too, but not for long."""

    def __init__(self, seconds: float = SECONDS, refused_seconds: float = REFUSED_SECONDS) -> None:
        self.seconds, self.refused_seconds = seconds, refused_seconds
        self._kept: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, question: Hashable, ask: Callable[[], T]) -> T:
        """The answer that is kept, else the one that `ask` gets."""
        with self._lock:
            until, known = self._kept.get(question, (0.0, None))
        if time.monotonic() >= until:
            try:
                known = ask()
                until = time.monotonic() + self.seconds
            except StudioError as error:
                known, until = error, time.monotonic() + self.refused_seconds
            with self._lock:
                self._kept[question] = (until, known)
                self._kept.move_to_end(question)
                while len(self._kept) > MOST:
                    self._kept.popitem(last=False)
        if isinstance(known, StudioError):
            raise known
        answer: T = known
        return answer

    def forget(self) -> None:
        """Ask anew from now on."""
        with self._lock:
            self._kept.clear()


ANSWERS = Answers()
"""Of this process."""
