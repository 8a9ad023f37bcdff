"""When test prompts are answered again during a run: at each new best, and else as its time allows, spread over it."""

import time


class Watching:
    """Time spent on replies, beside the time of the run."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.cost, self.spent = 0.0, 0.0
        """Seconds that answering took last, and in all since the first step."""
        self._began: float | None = None

    def begin(self) -> None:
        """The first step is near; what the base took is known, and not counted."""
        self._began, self.spent = time.monotonic(), 0.0

    def took(self, seconds: float) -> None:
        """Answering took so long."""
        self.cost = seconds
        self.spent += seconds

    def due(self, best: bool, last: bool, kept: bool) -> bool:
        """Whether to answer at a check: a new `best`, the `last` one, or there is time. The end answers with the step
        that is `kept`, so that this one is left to it when it is the last."""
        if self.share == 0:
            return False
        return not kept if last else best or self.may()

    def may(self) -> bool:
        """Whether there is time to answer now."""
        return self._began is not None and self.allows(time.monotonic() - self._began)

    def allows(self, elapsed: float) -> bool:
        """Whether, so many seconds after the first step began, answering would stay within the share."""
        return self.share > 0 and self.spent + self.cost <= self.share * elapsed
