"""The time left of a run: from its last steps and validations, without the time between two workers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from studio.schema.events import EvaluationEvent, PhaseEvent, StateEvent, StepEvent, StoredEvent
from studio.services.runs.run_messages import pause_message, preparation_message
from studio.services.runs.time_left import seconds_left
from studio.training.loop.sample_replies import progress_message


def stored(*moments: tuple[float, Any]) -> list[StoredEvent]:
    """Events at these seconds."""
    return [
        StoredEvent(id=number, time=datetime.fromtimestamp(1e9 + second, UTC).isoformat(), event=event)
        for number, (second, event) in enumerate(moments, 1)
    ]


def step(number: int) -> StepEvent:
    return StepEvent(step=number, loss=1.0, learning_rate=1e-4, rows_per_second=1.0, memory_bytes=1)


STARTING = StateEvent(status="starting")


def test_an_hour_of_pause_between_two_steps_does_not_count() -> None:
    before = [(2.0 * number, step(number)) for number in range(1, 11)]
    events = stored(*before, (21, StateEvent(status="paused")), (3600, STARTING), (3620, step(11)), (3622, step(12)))
    assert seconds_left(events, 12, 62, 0) == pytest.approx(100)


def test_a_resumed_run_has_an_estimate_from_its_first_moment() -> None:
    before = [(2.0 * number, step(number)) for number in range(1, 11)]
    assert seconds_left(stored(*before, (3600, STARTING)), 10, 60, 0) == pytest.approx(100)


def test_the_speed_of_the_new_worker_counts_as_soon_as_it_is_known() -> None:
    before = [(60.0 * number, step(number)) for number in range(1, 11)]
    after = [(5000 + 3.0 * number, step(10 + number)) for number in range(1, 4)]
    assert seconds_left(stored(*before, (4000, STARTING), *after), 13, 33, 0) == pytest.approx(60)


def test_validations_that_remain_are_counted_as_often_as_they_come() -> None:
    events = stored(
        (1, step(1)),
        (2, step(2)),
        (3, step(3)),
        (9, EvaluationEvent(step=3, eval_loss=1.0)),
        (10, step(4)),
        (11, step(5)),
    )
    assert seconds_left(events, 5, 25, 10) == pytest.approx(20 * 1 + 3 * 6), "at steps 10, 20 and 25"


def test_a_machine_that_slept_and_a_clock_that_was_set_back_do_not_count() -> None:
    before, night, morning = 1.0, 30_000.0, 25_000.0
    moments = [before + 2 * number for number in range(5)] + [night + 2 * number for number in range(5)]
    moments += [morning + 2 * number for number in range(5)]
    events = stored(*((moment, step(number)) for number, moment in enumerate(moments, 1)))
    assert seconds_left(events, 15, 65, 0) == pytest.approx(100)


def test_one_step_is_too_few() -> None:
    assert seconds_left(stored((1, step(1)), (2, step(2))), 2, 10, 0) is None


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (PhaseEvent(phase="loading"), "Loading the model"),
        (PhaseEvent(phase="reading", done=20, total=1400, unit="rows"), "Reading rows, 20 of 1,400"),
        (PhaseEvent(phase="reading", message="Doing this, 2 of 3", done=2, total=3), "Doing this, 2 of 3"),
        (PhaseEvent(phase="training", steps=9), "Computing the first step"),
    ],
)
def test_what_a_run_does_before_its_first_step_has_words(event: PhaseEvent, words: str) -> None:
    assert preparation_message(event) == words


def test_the_progress_of_replies_names_the_model_and_the_number() -> None:
    assert progress_message("base", 2, 3, (0, 0)) == "Answering your test prompts with the base model, 2 of 3"
    assert progress_message("tuned", 0, 3, (17, 96)).endswith("the fine-tuned model, 0 of 3 (token 17 of 96)")


def test_pause_tells_who_goes_first_and_the_place_in_the_queue() -> None:
    assert pause_message(True, 2) == "Pause lets 2 waiting runs go first. Resume makes this run number 3 in the queue."
    assert "number 2 in the queue" in pause_message(True, 1)
    assert "None is waiting" in pause_message(True, 0)
    assert "as number 3" in pause_message(False, 2)
