"""Messages about the state of a run."""

from studio.schema.errors import StudioError
from studio.schema.events import PhaseEvent
from studio.schema.numbers import plural
from studio.schema.runs import PHASE_WORDS, RunRecord, StopWish

PAUSING = "Pausing."
"""Message of the status `stopping` after a request to pause."""


def wrong_state(record: RunRecord, what: str, valid: str | None = None, hint: str = "") -> StudioError:
    """The error of an action that the state of a run does not allow. `what` is a sentence with {name}, the run's."""
    return StudioError("wrong-state", what.format(name=record.name), given=record.status, valid=valid, hint=hint)


def stopped_message(record: RunRecord, step: int | None, wish: StopWish) -> str:
    """The reason of a run that was stopped while it waited or was paused. `step`: the last resumable step, if any."""
    if wish == "discard":
        return "Stopped on request. Its progress was discarded."
    if step is None:
        return "Removed from the queue."
    if record.status == "paused":
        return f"Stopped while paused. All progress up to step {step:,} is saved."
    return f"Stopped while queued. All progress up to step {step:,} is saved."


def resume_message(step: int | None, saved: bool) -> str:
    """From which step a run resumes.

    Args:
        step: the last resumable step; None when there is none.
        saved: whether a checkpoint exists, even an incomplete one.
    """
    if step is not None:
        return f"Resumes from step {step:,}."
    if saved:
        return "A file of its checkpoints is missing or incomplete, so it starts again."
    return "No checkpoint was saved, so it starts again."


def preparation_message(event: PhaseEvent) -> str:
    """What a run does in a phase, in a sentence with its progress."""
    if event.message:
        return event.message
    if event.phase == "reading" and event.total:
        return f"Reading rows, {event.done or 0:,} of {event.total:,}"
    if event.phase == "training":
        return "Computing the first step"
    return PHASE_WORDS.get(event.phase, "Preparing")


def pause_message(running: bool, waiting: int) -> str:
    """What Pause does to a run's place in the queue, before it is pressed.

    Args:
        running: whether the run trains; otherwise it waits.
        waiting: number of other runs that wait.
    """
    place = waiting + 1
    if not running:
        if not waiting:
            return "Pause takes it out of the queue. No other run waits."
        return f"Pause takes it out of the queue. Resume puts it back as number {place}."
    if not waiting:
        return "Pause lets other runs go first. None is waiting now."
    return plural(
        waiting,
        "Pause lets the waiting run go first. Resume makes this run number {place} in the queue.",
        "Pause lets {n} waiting runs go first. Resume makes this run number {place} in the queue.",
        place=place,
    )


def state_message(record: RunRecord, position: int | None, short: tuple[int, int] | None = None) -> str:
    """The state of a run in a sentence.

    Args:
        position: number of runs before it in the queue; None when it is not in the queue.
        short: bytes of memory that it needs and that are free, while it waits for memory.
    """
    if record.status == "queued":
        return _waiting_message(position, short)
    if record.status == "training" and record.phase == "training" and record.steps:
        return f"Training, step {record.step:,} of {record.steps:,}"
    if record.status in ("starting", "training"):
        return PHASE_WORDS.get(record.phase, "Preparing")
    if record.status == "stopping":
        if record.reason:  # the worker does not respond
            return record.reason
        return "Pausing after this step" if record.stop_wish == "pause" else "Stopping after this step"
    return record.reason or {"finished": "Finished", "stopped": "Stopped"}.get(
        record.status, record.status.capitalize()
    )


def _waiting_message(position: int | None, short: tuple[int, int] | None) -> str:
    if short:
        needed, free = (f"{size / 2**30:.1f} GB" for size in short)
        return f"Waiting for memory: it needs about {needed}, and {free} is free."
    if not position:
        return "Waiting: next in the queue."
    return plural(position, "Waiting: {n} run ahead of it.", "Waiting: {n} runs ahead of it.")
