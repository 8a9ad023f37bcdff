"""Curves: thinned where they are kept, exact as a table, several beside each other."""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec, SplitSpec
from studio.schema.errors import StudioError
from studio.schema.events import (
    Action,
    AdviceEvent,
    AnyEvent,
    CheckpointEvent,
    EvaluationEvent,
    StepEvent,
)
from studio.schema.numbers import timestamp
from studio.schema.runs import RunSpec
from studio.services.runs.history import in_order
from studio.store import Home
from studio.store.db import now
from studio.ui.components.run_table import Line, table
from studio.ui.http.run_updates import compact


def made(home: Home, name: str = "tone", **settings: Any) -> str:
    """A run that nobody trains."""
    config = TrainingConfig(task="chat", model="starter-chat", name=name, **settings)
    spec = RunSpec(
        config=config, dataset="d1", dataset_version=1, data=DatasetSpec(task="chat", roles={}), splits=SplitSpec()
    )
    return home.workspace().runs.create(spec).id


def step(number: int, loss: float = 2.0, norm: float | None = 1.0) -> StepEvent:
    return StepEvent(
        step=number,
        loss=loss,
        grad_norm=norm,
        learning_rate=1e-4,
        rows_per_second=5.0,
        memory_bytes=10**9,
        tokens_per_second=410.0,
        processor=0.9,
        epoch=number / 100,
    )


def say(home: Home, run: str, events: list[AnyEvent]) -> None:
    """Append many events quickly."""
    with home.workspace().db.write() as connection:
        connection.executemany(
            "INSERT INTO events (run, time, kind, data) VALUES (?, ?, ?, ?)",
            ((run, now(), event.kind, event.model_dump_json()) for event in events),
        )


@pytest.fixture
def home(studio: Studio) -> Home:
    return studio.home


@pytest.mark.slow
def test_a_long_run_is_read_thinned_and_keeps_its_ends_spikes_and_all_else(home: Home) -> None:
    run = made(home)
    events: list[AnyEvent] = [step(number) for number in range(1, 20_001)]
    events[7_776], events[12_344], events[14_999] = step(7_777, 9.0), step(12_345, 0.1), step(15_000, norm=50.0)
    events[9_999:9_999] = [CheckpointEvent(step=9_999, name="checkpoint-9999")]
    say(home, run, events)
    kept = home.workspace().events.thinned(run, 0, 3000)
    steps = [each.event.step for each in kept if isinstance(each.event, StepEvent)]
    assert len(steps) <= 3001
    assert steps[0] == 1 and steps[-1] == 20_000 and steps == sorted(steps)
    assert {7_777, 12_345, 15_000} <= set(steps)
    assert any(isinstance(each.event, CheckpointEvent) for each in kept)
    assert compact(kept)["to"] == home.workspace().events.after(run)[-1].id


def test_a_short_run_is_read_whole(home: Home) -> None:
    run = made(home)
    say(home, run, [step(number) for number in range(1, 101)])
    events = home.workspace().events
    assert events.thinned(run, 0, 3000) == events.after(run)
    assert len(events.thinned(run, events.after(run)[-1].id - 3, 3000)) == 3


def test_of_steps_that_were_done_again_the_last_time_counts(home: Home) -> None:
    run = made(home)
    say(home, run, [*(step(number, 5.0) for number in range(1, 2001)), *(step(n, 1.0) for n in range(1001, 4001))])
    told = compact(home.workspace().events.thinned(run, 0, 400))["steps"]
    assert {row[1] for row in told if row[0] <= 1000} == {5.0}
    assert {row[1] for row in told if row[0] > 1000} == {1.0}


def test_a_loss_that_is_no_number_does_not_hide_the_highest(home: Home) -> None:
    run = made(home)
    events: list[AnyEvent] = [step(number) for number in range(1, 4001)]
    events[100], events[101] = step(101, math.nan), step(102, 8.0)
    say(home, run, events)
    told = compact(home.workspace().events.thinned(run, 0, 400))["steps"]
    assert 8.0 in [row[1] for row in told]


def test_a_step_tells_time_tokens_and_processor_where_they_are_known(home: Home) -> None:
    run = made(home)
    say(home, run, [step(1)])
    stored = home.workspace().events.after(run)
    created = home.workspace().runs.get(run).created

    (row,) = compact(stored, timestamp(created) - 60)["steps"]
    assert row[6] is None and 59 < row[7] < 65 and row[8:] == [410.0, 0.9]


def test_the_table_of_a_run_has_every_step_its_checks_and_the_coachs_words(studio: Studio, home: Home) -> None:
    run = made(home)
    say(
        home,
        run,
        [
            EvaluationEvent(step=0, eval_loss=3.0),
            step(1, 2.5),
            step(2, 2.4),
            step(2, 2.3),
            EvaluationEvent(step=2, eval_loss=2.2, best=True, metrics={"accuracy": 0.5}),
            AdviceEvent(step=2, title="Learning by heart", message=""),
        ],
    )
    rows = list(csv.DictReader(io.StringIO(studio.curves.csv(run))))
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert [row["train_loss"] for row in rows] == ["", "2.5", "2.3"]
    assert [row["validation_loss"] for row in rows] == ["3.0", "", "2.2"]
    assert (rows[2]["validation_accuracy"], rows[2]["coach"], rows[2]["best"]) == ("0.5", "Learning by heart", "1")


def test_the_command_writes_the_same_table(
    studio: Studio, home: Home, call: Callable[..., Any], tmp_path: Path
) -> None:
    run = made(home)
    say(home, run, [step(1), step(2)])
    status, told, _ = call("curve", run, "--out", tmp_path / "curve.csv")
    assert (status, told["steps"]) == (0, 2)
    assert (tmp_path / "curve.csv").read_text() == studio.curves.csv(run)
    status, nothing, words = call("curve", run, "--out", tmp_path / "missing" / "curve.csv")
    assert (status, nothing) == (2, None) and "The folder does not exist" in words


def test_runs_beside_each_other_tell_what_they_reached_and_where_they_differ(
    studio: Studio, home: Home, call: Callable[..., Any]
) -> None:
    one, other = made(home, "one"), made(home, "other", lora_rank=32, learning_rate=1e-3)
    say(home, one, [EvaluationEvent(step=0, eval_loss=3.0), EvaluationEvent(step=9, eval_loss=2.0)])
    view = studio.curves.compare([one, other])
    assert [(run.name, run.best_loss) for run in view.runs] == [("one", 2.0), ("other", None)]
    assert {each.name: each.values for each in view.differs} == {
        "learning_rate": ("0.0002", "0.001"),
        "lora_rank": ("8", "32"),
    }
    assert view.same_rows
    status, told, _ = call("compare", one, other)
    assert (status, told) == (0, json.loads(view.model_dump_json()))


def test_a_loss_that_is_no_number_is_never_the_best(studio: Studio, home: Home) -> None:
    one, other = made(home, "one"), made(home, "other")
    say(home, one, [EvaluationEvent(step=3, eval_loss=math.nan), EvaluationEvent(step=9, eval_loss=2.0)])
    assert [run.best_loss for run in studio.curves.compare([one, other]).runs] == [2.0, None]
    checks = ((3, math.nan), (9, 2.0))
    line = Line(studio.runs.get(one), TrainingConfig(task="chat", model="m"), "LoRA", "d", "m", checks, 1)
    drawn = str(table([line], "", ""))
    assert "2.00<small" in drawn and "nan<small" not in drawn
    records = [studio.runs.get(one).model_copy(update={"metrics": {"eval_loss": x}}) for x in (math.nan, 1.0, 0.5)]
    assert [record.metrics["eval_loss"] for record in in_order(records, "loss")][:2] == [0.5, 1.0]


@pytest.mark.parametrize("count", [1, 9])
def test_one_run_or_too_many_can_not_be_compared(studio: Studio, home: Home, count: int) -> None:
    with pytest.raises(StudioError) as refused:
        studio.curves.compare([made(home, f"run {number}") for number in range(count)])
    assert refused.value.field == "runs"


def advised(home: Home, *actions: Action, severity: Any = "warn") -> str:
    run = made(home)
    say(
        home,
        run,
        [
            AdviceEvent(
                step=9,
                title="Learning by heart",
                message="It rose.",
                rule="overfitting",
                severity=severity,
                actions=actions,
            )
        ],
    )
    return run


def test_the_coachs_words_stand_in_the_documents_of_show_and_coach(home: Home, call: Callable[..., Any]) -> None:
    run = advised(home, Action(kind="stop", label="Stop and keep the best"))
    _, shown, _ = call("show", run)
    _, told, _ = call("coach", run)
    assert shown["advice"] == told
    assert (told[0]["rule"], told[0]["step"], told[0]["actions"][0]["kind"]) == ("overfitting", 9, "stop")


def test_what_was_taken_back_is_no_longer_told(studio: Studio, home: Home) -> None:
    run = advised(home)
    say(home, run, [AdviceEvent(step=12, title="It falls again", message="", rule="overfitting", severity="ok")])
    assert studio.coach.advice(run) == []


def test_an_advice_that_stops_is_refused_for_a_run_that_is_over(studio: Studio, home: Home) -> None:
    run = advised(home, Action(kind="stop", label="Stop"))
    home.workspace().runs.set_status(run, "failed")
    with pytest.raises(StudioError) as refused:
        studio.coach.apply(run, "overfitting")
    assert refused.value.code == "wrong-state"


def test_an_advice_that_does_not_exist_or_can_not_be_done_is_refused(studio: Studio, home: Home) -> None:
    run = advised(home, Action(kind="open", label="Look at the rows", tab="data"))
    refusals = (("underfitting", 1, "rule"), ("overfitting", 2, "choice"), ("overfitting", 1, "choice"))
    for rule, choice, field in refusals:
        with pytest.raises(StudioError) as refused:
            studio.coach.apply(run, rule, choice)
        assert refused.value.field == field


def test_a_stranger_can_not_have_a_curve_sent_elsewhere(tmp_path: Path) -> None:
    demo = Studio(tmp_path / "demo", demo=True)
    spec = demo.home.workspace().runs.spec(made(demo.home, mirror="wandb"))
    with pytest.raises(StudioError) as refused:
        demo.runs.submit(spec)
    assert refused.value.code == "not-allowed"
    demo.close()
