"""Texts of a worker: log lines, errors and the reason of a stop."""

from studio.machine.process_limits import is_out_of_memory
from studio.schema.errors import StudioError
from studio.schema.events import (
    AdviceEvent,
    AnyEvent,
    CheckpointEvent,
    EvaluationEvent,
    PhaseEvent,
    ReplyEvent,
    StepEvent,
)
from studio.schema.numbers import plural
from studio.schema.runs import PHASE_WORDS, StopWish
from studio.store.files import NO_ROOM

ENDED_FROM_OUTSIDE = "because its process was stopped from outside (SIGTERM)"
"""The reason of a run that was stopped by a signal and not by the user. The page recognizes it by the signal's name."""


def to_studio_error(error: BaseException) -> StudioError:
    """Any error as a `StudioError` with a hint."""
    if isinstance(error, StudioError):
        return error
    if is_out_of_memory(error):
        return StudioError(
            "out-of-memory",
            "The run needed more memory than there is.",
            hint="Use a smaller batch size, a smaller maximum length, QLoRA, or a smaller model.",
        )
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return StudioError(
            "disk-full",
            "The disk is full.",
            hint="Free some disk space, then resume the run from its last checkpoint.",
        )
    first_line = next(iter(str(error).strip().splitlines()), "no message")
    return StudioError(
        "training-failed",
        "Training failed with an unexpected error.",
        given=f"{type(error).__name__}: {first_line[:300]}",
        hint="The run's log has the details.",
    )


def stop_message(wish: StopWish, kept: bool, step: int, best_step: int | None, why: str = "on request") -> str:
    """The reason of a stopped run: what was kept, or why nothing was."""
    if wish == "discard":
        return "Stopped on request. Its progress was discarded."
    if not kept:
        return f"Stopped before the first step {why}. There is no result."
    if best_step is not None and best_step != step:
        return f"Stopped at step {step:,} {why}. The best checkpoint, from step {best_step:,}, is the result."
    return f"Stopped at step {step:,} {why}. The checkpoint from this step is the result."


def limit_message(steps: int, best_step: int | None) -> str:
    """The reason of a run that has taken all steps that its settings allow."""
    limit = plural(steps, "The run has reached its limit of {n} step.", "The run has reached its limit of {n} steps.")
    if best_step is not None and best_step != steps:
        return " ".join((limit, f"The best checkpoint, from step {best_step:,}, is the result."))
    return " ".join((limit, "The checkpoint from the last step is the result."))


def log_line(event: AnyEvent, steps: int) -> str:
    """The log line of an event. Empty when the event is not logged."""
    line = ""
    match event:
        case StepEvent():
            line = (
                f"step {event.step}/{steps}  loss {event.loss:.4f}  learning rate {event.learning_rate:.2e}  "
                f"{event.rows_per_second:.2f} rows/s  {event.memory_bytes / 1e6:,.0f} MB"
            )
        case EvaluationEvent():
            metrics = "".join(f"  {name} {value:.4f}" for name, value in event.metrics.items())
            best = "  best so far" if event.best else ""
            line = f"validation at step {event.step}  loss {event.eval_loss:.4f}{metrics}{best}"
        case CheckpointEvent():
            line = f"saved {event.name}, {event.bytes / 1e6:,.0f} MB"
        case PhaseEvent():
            line = f"{event.done:,} of {event.total:,} {event.unit}" if event.done else PHASE_WORDS.get(event.phase, "")
            line = event.message or line
        case ReplyEvent():
            line = f"{event.who}: {event.prompt!r} -> {event.text!r}"
        case AdviceEvent():
            line = f"coach, step {event.step}: {event.title}. {event.message} {event.why} {event.action}".rstrip()
    return line
