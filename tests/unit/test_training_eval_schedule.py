"""How many steps a run has, and how often it checks itself."""

import pytest

from studio.schema.config import TrainingConfig
from studio.training.planning.eval_schedule import eval_interval, steps_per_epoch, total_steps


def config(**values: object) -> TrainingConfig:
    return TrainingConfig(task="chat", model="m", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rows", "values", "steps"),
    [
        (102, {"epochs": 3, "batch_size": 4}, 78),
        (102, {"epochs": 3, "batch_size": 4, "gradient_accumulation": 2}, 39),
        (102, {"epochs": 0.5, "batch_size": 4}, 13),
        (102, {"epochs": 3, "batch_size": 4, "max_steps": 10}, 10),
        (5, {"epochs": 3, "batch_size": 4, "max_steps": 100}, 6),
        (1, {"epochs": 0.01, "batch_size": 4}, 1),
    ],
)
def test_steps_are_those_that_the_trainer_takes(rows: int, values: dict, steps: int) -> None:
    assert total_steps(rows, config(**values)) == steps


def test_an_incomplete_batch_is_a_step_too() -> None:
    assert steps_per_epoch(9, config(batch_size=4)) == 3
    assert steps_per_epoch(9, config(batch_size=4, gradient_accumulation=2)) == 2


@pytest.mark.parametrize("rows", [2, 10, 102, 1000, 50_000])
@pytest.mark.parametrize("held", [2, 18, 300, 5000])
def test_a_run_checks_itself_three_times_at_least_whatever_its_length(rows: int, held: int) -> None:
    settings = config(epochs=1, batch_size=4)
    steps = total_steps(rows, settings)
    every = eval_interval(rows, held, settings)
    assert 1 <= every <= steps
    assert steps // every >= min(3, steps)


def test_checks_cost_little_of_a_long_run() -> None:
    settings = config(epochs=3, batch_size=4, eval_rows=64)
    every = eval_interval(5000, 500, settings)
    assert 64 / 3 <= 0.16 * every * 4


def test_a_rhythm_set_by_hand_stands() -> None:
    assert eval_interval(1000, 100, config(eval_steps=7)) == 7
