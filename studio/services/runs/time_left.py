"""The time that a run still needs, from the times of its last steps without those in which the base model is measured.

The page shows this one number everywhere. Time between two workers does not count: the run was paused, queued or
interrupted then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from studio.schema.events import EvaluationEvent, StateEvent, StepEvent, StoredEvent
from studio.schema.numbers import timestamp

WINDOW = 60
"""Number of last steps that the estimate uses."""
FEWEST_STEPS = 2
"""Number of step times that are needed for an estimate."""
ASLEEP_SECONDS, ASLEEP_RATIO = 60.0, 20
"""A step that took longer than this, and so many times the median, was interrupted: the machine slept."""


@dataclass
class _Times:
    """Seconds from one step to the next: without a validation between them, and with one."""

    plain: list[float] = field(default_factory=list)
    with_validation: list[float] = field(default_factory=list)

    @property
    def enough(self) -> bool:
        return len(self.plain) + len(self.with_validation) >= FEWEST_STEPS


def seconds_left(events: Sequence[StoredEvent], step: int, steps: int, eval_steps: int) -> float | None:
    """Estimated seconds until the last step. None when too few steps are known.

    Args:
        events: steps, validations and changes of status, oldest first.
        step: the last step that counts; after a resume, the step of the checkpoint.
        steps: steps of the whole run.
        eval_steps: steps between two validations; 0 when there is one at the end only.
    """
    times = _times_of_last_worker(events)
    if not times.enough:
        return None
    remaining = max(0, steps - step)
    if not times.plain:
        return _mean(times.with_validation) * remaining
    plain = _mean(times.plain)
    validation = max(0.0, _mean(times.with_validation) - plain) if times.with_validation else 0.0
    return plain * remaining + validation * _validations_left(step, steps, eval_steps)


def _times_of_last_worker(events: Sequence[StoredEvent]) -> _Times:
    """The step times of the last worker, or of the one before it while the last has too few."""
    times, before = _Times(), _Times()
    last: tuple[int, float] | None = None
    validated = False
    for stored in events:
        event = stored.event
        if isinstance(event, StateEvent) and event.status == "starting":
            before, times, last = times if times.enough else before, _Times(), None
        elif isinstance(event, EvaluationEvent):
            validated = validated or event.step > 0
        elif isinstance(event, StepEvent):
            now = timestamp(stored.time)
            if last is not None and event.step == last[0] + 1 and now >= last[1]:  # the clock was not set back
                (times.with_validation if validated else times.plain).append(max(0.0, now - last[1] - event.delayed))
            last, validated = (event.step, now), False
    return times if times.enough else before


def _mean(times: Sequence[float]) -> float:
    """The mean without the time in which the machine slept."""
    most = max(ASLEEP_SECONDS, ASLEEP_RATIO * median(times))
    return fmean(time for time in times if time <= most)


def _validations_left(step: int, steps: int, every: int) -> int:
    if step >= steps:
        return 0
    if not every:
        return 1
    return steps // every - step // every + (steps % every > 0)
