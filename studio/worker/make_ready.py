"""A run that is made ready before it is asked for, while a person still looks at its settings.

It is begun in a thread of its own by the very function that trains, and stands before its first step: weights, rows,
the base's replies and the check of the base are there. What is asked for in the end is compared with what was begun,
and anything else begins anew. So a wrong guess takes nobody anything but time of a processor that had nothing to do,
and a right one learns what it would have learned: the same is computed in the same order.
"""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from studio.machine.memory import forget_peak
from studio.schema.events import AnyEvent, EvaluationEvent, PhaseEvent, ReadEvent
from studio.schema.runs import StopWish
from studio.training.loop.loading import TrainingJob, on_disk
from studio.training.loop.outcome import Outcome

if TYPE_CHECKING:
    from studio.training.loop.callbacks import Emit, ShouldStop


class Ready:
    """Begins a run at once, keeps what it says, and holds it before its first step until it is wanted or dropped."""

    def __init__(self, job: TrainingJob) -> None:
        from studio.training.loop.run import train

        self.job, self.stands = job, False
        self._on_disk = on_disk(job)
        self._said: list[AnyEvent] = []
        self._emit: Emit | None = None
        self._should_stop: ShouldStop = _nobody_asked
        self._checks = False
        self._lock, self._go_on = threading.Lock(), threading.Event()
        thread = ThreadPoolExecutor(1, "ready")
        self._outcome = thread.submit(train, job, self._hear, lambda: self._should_stop())
        thread.shutdown(wait=False)

    def train(self, job: TrainingJob, emit: "Emit", should_stop: "ShouldStop") -> Outcome:
        """As `training.run.train`: from where it stands when it is for this very job, else from the start."""
        from studio.training.loop.run import train

        if not self._is_for(job):
            self.drop()
            return train(job, emit, should_stop)
        try:
            with self._lock:
                for event in self._said:
                    emit(event)
                self._emit, self._should_stop = emit, should_stop
        except BaseException:
            self.drop()
            raise
        self._go_on.set()
        return self._outcome.result()

    def drop(self) -> None:
        """Nobody wants it: let go of all that it holds, and of the memory that it once took."""
        self._should_stop = _not_wanted
        self._go_on.set()
        self._outcome.exception()  # whatever it ended with is nobody's business
        del self._outcome
        gc.collect()
        forget_peak()

    def _is_for(self, job: TrainingJob) -> bool:
        """Whether it would learn the same from the same; one that could not be made ready is tried anew."""
        same = _nameless(self.job) == _nameless(job) and self._on_disk == on_disk(job)
        return same and not self._outcome.done()

    def _hear(self, event: AnyEvent) -> None:
        from studio.training.loop.callbacks import StopNow

        with self._lock:
            (self._emit or self._said.append)(event)
        if isinstance(event, ReadEvent):
            self._checks = event.held > 0
        if self._is_last_before_step(event):
            self.stands = True
            self._go_on.wait()
            if self._should_stop() == "discard":
                raise StopNow("discard")

    def _is_last_before_step(self, event: AnyEvent) -> bool:
        if self._checks:
            return isinstance(event, EvaluationEvent) and event.step == 0
        return isinstance(event, PhaseEvent) and event.phase == "training"


def _nobody_asked() -> StopWish | None:
    return None


def _not_wanted() -> StopWish | None:
    return "discard"


def _nameless(job: TrainingJob) -> TrainingJob:
    """What a run is called makes no difference to it."""
    return replace(job, config=job.config.model_copy(update={"name": ""}))
