"""Prepares a run before it is started, while the user still looks at its settings.

The function that trains runs in its own thread and pauses before the first step. By then the weights and rows are
loaded, the base model has answered the test prompts, and the first validation is done. When a run is started, it is
compared with the prepared one. If they differ, the run starts from the beginning. A wrong guess only uses idle CPU
time. A right guess gives the same result, since the same is computed in the same order.
"""

import gc
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from studio.machine.memory import forget_peak
from studio.schema.events import AnyEvent, PhaseEvent
from studio.training.loop.loading import TrainingJob, input_files
from studio.training.loop.outcome import Outcome

if TYPE_CHECKING:
    from studio.training.loop.callbacks import Emit, ShouldStop


class PreparedRun:
    """Starts a run at once, stores its events, and holds it before its first step until it is started or dropped."""

    def __init__(self, job: TrainingJob) -> None:
        from studio.training.loop.run import train

        self.job, self.is_ready = job, False
        self._input_files = input_files(job)
        self._events: list[AnyEvent] = []
        self._emit: Emit | None = None
        self._should_stop: ShouldStop = lambda: None
        self._lock, self._continue = threading.Lock(), threading.Event()
        thread = ThreadPoolExecutor(1, "ready")
        self._outcome: Future[Outcome] | None = thread.submit(
            train, job, self._receive, lambda: self._should_stop(), lambda: self._emit is None
        )
        thread.shutdown(wait=False)

    def train(self, job: TrainingJob, emit: "Emit", should_stop: "ShouldStop") -> Outcome:
        """As `training.loop.run.train`. Continues the prepared run if it is for this job, otherwise starts from the
        beginning."""
        from studio.training.loop.run import train

        if not self._matches(job):
            self.drop()
            return train(job, emit, should_stop)
        try:
            with self._lock:
                for event in self._events:
                    emit(event)
                self._emit, self._should_stop = emit, should_stop
        except BaseException:
            self.drop()
            raise
        self._continue.set()
        assert self._outcome is not None
        return self._outcome.result()

    def drop(self) -> None:
        """Cancel the prepared run, release its memory and reset the recorded peak. Nothing is left to do for one that
        has ended."""
        self._should_stop = lambda: "discard"
        self._continue.set()
        outcome, self._outcome = self._outcome, None
        if outcome is not None:
            outcome.exception()  # the outcome of a dropped run is irrelevant
            del outcome
        gc.collect()
        forget_peak()

    def _matches(self, job: TrainingJob) -> bool:
        """Whether the prepared run would give the same result as this job. False if the preparation failed."""
        equal = _without_name(self.job) == _without_name(job) and self._input_files == input_files(job)
        return equal and self._outcome is not None and not self._outcome.done()

    def _receive(self, event: AnyEvent) -> None:
        from studio.training.loop.callbacks import StopNow

        with self._lock:
            (self._emit or self._events.append)(event)
        if self._is_last_event_before_steps(event):
            self.is_ready = True
            self._continue.wait()
            if self._should_stop() == "discard":
                raise StopNow("discard")

    def _is_last_event_before_steps(self, event: AnyEvent) -> bool:
        if not isinstance(event, PhaseEvent):
            return False
        return event.phase == "training" and event.done == 0 and event.total is None


def _without_name(job: TrainingJob) -> TrainingJob:
    """The job without the run's name, which has no effect on training."""
    return replace(job, config=job.config.model_copy(update={"name": ""}))
