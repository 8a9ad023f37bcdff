"""Every way in which a worker can end has its plain sentence."""

import errno

import pytest

from studio.schema.errors import StudioError
from studio.schema.events import CheckpointEvent, EvaluationEvent, PhaseEvent, ReplyEvent, StateEvent, StepEvent
from studio.worker.messages import ENDED_FROM_OUTSIDE, limit_message, log_line, stop_message, to_studio_error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out-of-memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out-of-memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out-of-memory"),
        (RuntimeError("could not create a primitive"), "out-of-memory"),
        (RuntimeError("could not create a primitive descriptor for a matmul primitive"), "training-failed"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out-of-memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk-full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk-full"),
        (PermissionError(errno.EACCES, "Permission denied"), "training-failed"),
        (ValueError("first line\nsecond line"), "training-failed"),
        (RuntimeError(), "training-failed"),
    ],
)
def test_errors_of_libraries_become_plain_sentences(error: Exception, code: str) -> None:
    said = to_studio_error(error)
    assert said.code == code
    assert said.hint
    assert "Traceback" not in said.message and "\n" not in said.message


def test_a_refusal_is_passed_on_as_it_is() -> None:
    refusal = StudioError("too-few-rows", "No training row is left.")
    assert to_studio_error(refusal) is refusal


@pytest.mark.parametrize(
    ("wish", "kept", "step", "best", "words"),
    [
        ("discard", False, 10, None, "Its progress was discarded"),
        ("keep", False, 0, None, "before the first step"),
        ("keep", True, 12, 10, "at step 12 on request. The best checkpoint, from step 10, is the result."),
        ("keep", True, 12, 12, "at step 12 on request. The checkpoint from this step is the result."),
        ("keep", True, 12, None, "at step 12 on request. The checkpoint from this step is the result."),
    ],
)
def test_a_stopped_run_says_what_is_kept(wish: str, kept: bool, step: int, best: int | None, words: str) -> None:
    assert words in stop_message(wish, kept, step, best)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kept", "step", "best", "rest"),
    [
        (True, 12, 10, "at step 12 {why}. The best checkpoint, from step 10, is the result."),
        (True, 12, None, "at step 12 {why}. The checkpoint from this step is the result."),
        (False, 0, None, "before the first step {why}. There is no result."),
    ],
)
def test_a_run_that_nobody_asked_to_stop_is_not_told_as_stopped_on_request(
    kept: bool, step: int, best: int | None, rest: str
) -> None:
    said = stop_message("keep", kept, step, best, ENDED_FROM_OUTSIDE)
    why = "because its process was stopped from outside (SIGTERM)"
    assert said == f"Stopped {rest.format(why=why)}"


def test_the_log_has_a_line_for_what_matters_and_none_for_the_rest() -> None:
    step = StepEvent(step=3, loss=1.5, learning_rate=1e-4, rows_per_second=2.5, memory_bytes=2 * 10**9)
    assert log_line(step, 9) == "step 3/9  loss 1.5000  learning rate 1.00e-04  2.50 rows/s  2,000 MB"
    check = EvaluationEvent(step=3, eval_loss=1.25, metrics={"accuracy": 0.5}, best=True)
    assert log_line(check, 9) == "validation at step 3  loss 1.2500  accuracy 0.5000  best so far"
    assert log_line(CheckpointEvent(step=3, name="checkpoint-3", bytes=5 * 10**6), 9) == "saved checkpoint-3, 5 MB"
    assert log_line(PhaseEvent(phase="reading", done=500, total=1000, unit="rows"), 9) == "500 of 1,000 rows"
    assert log_line(PhaseEvent(phase="saving"), 9) == "Saving"
    assert log_line(ReplyEvent(step=0, prompt="a", text="b", who="base"), 9) == "base: 'a' -> 'b'"
    assert log_line(StateEvent(status="training"), 9) == ""


def test_a_run_that_has_taken_all_its_steps_says_which_limit_ended_it() -> None:
    assert limit_message(60, 40) == (
        "The run has reached its limit of 60 steps. The best checkpoint, from step 40, is the result."
    )
    last = "The checkpoint from the last step is the result."
    assert limit_message(1, 1) == f"The run has reached its limit of 1 step. {last}"
    assert limit_message(60, None).endswith(last)
