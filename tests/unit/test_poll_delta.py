"""What is sent of a run: only what is new, short, and thinned without losing what stands out."""

import json
import math

from studio.schema.config import TrainingConfig
from studio.schema.events import (
    CheckpointEvent,
    EvaluationEvent,
    PhaseEvent,
    ReplyEvent,
    StateEvent,
    StepEvent,
    StoredEvent,
)
from studio.schema.runs import RunRecord
from studio.schema.views import Progress
from studio.ui.http.run_updates import MOST_STEPS, compact, run_state, settings, short, thin

TIME = "2026-11-24T08:00:00.000Z"


def step(number: int, loss: float = 1.5) -> StepEvent:
    return StepEvent(
        step=number,
        loss=loss,
        learning_rate=1.23456e-4,
        grad_norm=0.98765,
        rows_per_second=5.81,
        memory_bytes=3_812_345_678,
    )


def stored(*events: object) -> list[StoredEvent]:
    return [StoredEvent(id=at, time=TIME, event=event) for at, event in enumerate(events, 11)]  # type: ignore[arg-type]


def test_a_step_is_a_short_row_and_the_cursor_is_the_newest_event() -> None:
    told = compact(stored(step(1), StateEvent(status="training"), step(2)))
    assert told["steps"] == [[1, 1.5, 0.000123, 0.98765, 5.81, 3812], [2, 1.5, 0.000123, 0.98765, 5.81, 3812]]
    assert told["to"] == 13
    assert set(told) == {"steps", "to"}


def test_a_step_that_came_again_after_a_resume_takes_the_old_ones_place() -> None:
    told = compact(stored(step(1, 3.0), step(2, 2.0), step(1, 2.9), step(2, 1.9)))
    assert [row[:2] for row in told["steps"]] == [[1, 2.9], [2, 1.9]]


def test_a_loss_that_is_no_number_is_sent_as_nothing_and_json_stays_whole() -> None:
    told = compact(stored(step(1, math.nan), step(2, math.inf), EvaluationEvent(step=2, eval_loss=math.nan)))
    assert [row[1] for row in told["steps"]] == [None, None]
    assert told["checks"] == [[2, None, 0, {}]]
    json.dumps(told, allow_nan=False)


def test_each_kind_of_event_has_its_list() -> None:
    told = compact(
        stored(
            PhaseEvent(phase="reading", done=3, total=9, unit="rows"),
            ReplyEvent(step=0, prompt="<b>Hi</b>", text="Hello", who="base", tokens=2),
            CheckpointEvent(step=5, name="checkpoint-5", bytes=7, best=True),
            EvaluationEvent(step=5, eval_loss=1.23456789, best=True, metrics={"accuracy": 0.912345678}),
        )
    )
    assert told["phases"] == [{"time": TIME, "phase": "reading", "done": 3, "total": 9, "unit": "rows"}]
    assert told["replies"] == [{"step": 0, "prompt": "<b>Hi</b>", "text": "Hello", "who": "base", "tokens": 2}]
    assert told["checkpoints"] == [[5, 7, 1]]
    assert told["checks"] == [[5, 1.2346, 1, {"accuracy": 0.91235}]]


def test_a_tick_of_one_step_is_under_half_a_kilobyte() -> None:
    record = RunRecord(
        id="20261124-0a1b2c3d",
        name="support-tone",
        status="training",
        task="chat",
        model="starter-chat",
        method="lora",
        created=TIME,
        started=TIME,
        seconds=123.4,
        phase="training",
        step=193,
        steps=312,
        best_step=120,
    )
    body = {
        "run": run_state(Progress(record=record, share=0.618589743, seconds_left=181.234)),
        **compact(stored(step(193))),
    }
    assert len(json.dumps(body, separators=(",", ":"))) < 500
    assert body["run"]["share"] == 0.619
    assert "reason" not in body["run"]


def test_a_long_run_is_thinned_and_keeps_its_ends_spikes_and_holes() -> None:
    rows = [[number, 2.0, 1e-4, 1.0, 5.0, 100] for number in range(1, 20_001)]
    rows[7_777][1] = 9.0
    rows[12_345][1] = 0.1
    rows[15_000][3] = 50.0
    kept = thin(rows)
    assert len(kept) <= MOST_STEPS + 4
    assert kept[0] == rows[0] and kept[-1] == rows[-1]
    assert all(rows[at] in kept for at in (7_777, 12_345, 15_000))
    assert [row[0] for row in kept] == sorted({row[0] for row in kept})


def test_a_short_run_is_sent_exactly() -> None:
    rows = [[number, 2.0, 1e-4, None, 5.0, 100] for number in range(MOST_STEPS)]
    assert thin(rows) is rows


def test_thinning_bears_steps_without_a_loss_or_a_gradient() -> None:
    rows = [[number, None, 1e-4, None, 5.0, 100] for number in range(MOST_STEPS * 3)]
    assert thin(rows)[-1] == rows[-1]


def test_numbers_are_cut_to_what_can_be_seen() -> None:
    assert short(1.23456789) == 1.2346
    assert short(0.000123456, 3) == 0.000123
    assert short(float("nan")) is None


def test_settings_are_named_in_plain_words_and_those_of_other_methods_are_left_out() -> None:
    config = TrainingConfig(task="chat", model="starter-chat", method="full")
    rows = {row[0]: row[1:] for group in settings(config) for row in group["rows"]}
    assert rows["Epochs"] == ["3", "epochs", "num_train_epochs"]
    assert "Rank" not in rows
    assert "Label smoothing" not in rows
    assert rows["Group by length"][0] == "yes"
