"""When test prompts are answered during a run: at each new best step, and otherwise as often as the time share
allows."""

import time


class SampleSchedule:
    """Time spent on replies compared with the time of the run."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.cost, self.spent = 0.0, 0.0
        """Seconds of the last replies, and in total since the first step."""
        self._began: float | None = None

    def begin(self) -> None:
        """Called before the first step. The time for the base model's replies is known, and not counted."""
        self._began, self.spent = time.monotonic(), 0.0

    def record(self, seconds: float) -> None:
        """Record the seconds of the last replies."""
        self.cost = seconds
        self.spent += seconds

    def due(self, best: bool, last: bool, is_result: bool) -> bool:
        """Whether to answer after a validation: it is a new best, or there is time. The replies of the result are
        generated at the end, so the last validation answers only if its step is not the result."""
        if self.share == 0:
            return False
        return not is_result if last else best or self.has_time()

    def has_time(self) -> bool:
        """Whether there is time to answer now."""
        return self._began is not None and self.allows(time.monotonic() - self._began)

    def allows(self, seconds: float) -> bool:
        """Whether answering would stay within the time share, this many seconds after the first step began."""
        return self.share > 0 and self.spent + self.cost <= self.share * seconds
