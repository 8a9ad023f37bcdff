"""Each rule speaks on the curve of a real run that needs it, and none on those that went well."""

import json
from pathlib import Path
from typing import Any

import pytest

from studio.data.samples import SAMPLES
from studio.schema.config import TrainingConfig
from studio.schema.events import (
    EVENT,
    AdviceEvent,
    AnyEvent,
    ErrorEvent,
    EvaluationEvent,
    PhaseEvent,
    ReadEvent,
    StepEvent,
)
from studio.training.coach import RULES, Coach
from studio.training.coach.base import Point, RunHistory, twice_as_long

CURVES = Path(__file__).parent / "curves"
GOOD = sorted(path.stem for path in CURVES.glob("good-*.json"))


def recorded(name: str) -> tuple[TrainingConfig, list[AnyEvent]]:
    """A real run's settings, and what it said."""
    kept = json.loads((CURVES / f"{name}.json").read_text(encoding="utf-8"))
    return TrainingConfig(**kept["config"]), [
        step(*each) if isinstance(each, list) else EVENT.validate_python(each) for each in kept["events"]
    ]


def step(number: int, loss: float, norm: float | None = 1.0, epoch: float = 0.0) -> StepEvent:
    return StepEvent(
        step=number, loss=loss, grad_norm=norm, epoch=epoch, learning_rate=1e-4, rows_per_second=5.0, memory_bytes=1
    )


def check(number: int, loss: float, **more: Any) -> EvaluationEvent:
    return EvaluationEvent(step=number, eval_loss=loss, **more)


def told(coach: Coach, events: list[AnyEvent]) -> list[AdviceEvent]:
    """What it says to these events."""
    return [each for event in events for each in coach.observe(event)]


def replayed(name: str) -> list[AdviceEvent]:
    """What it says to a whole recorded run."""
    config, events = recorded(name)
    coach = Coach(config)
    return [*told(coach, events), *coach.end()]


def test_there_is_a_good_run_of_every_sample() -> None:
    assert GOOD == sorted(f"good-{name}" for name in SAMPLES)


@pytest.mark.parametrize("name", GOOD)
def test_it_is_silent_when_all_is_well(name: str) -> None:
    said = replayed(name)
    assert [(each.rule, each.message) for each in said if each.rule != "summary"] == []
    assert [each.rule for each in said] == ["summary"]


@pytest.mark.parametrize("rule", [name for name in RULES if name != "summary"])
def test_each_rule_speaks_once_on_a_run_that_needs_it(rule: str) -> None:
    said = [each for each in replayed(rule) if each.rule == rule and each.severity != "ok"]
    assert said, [each.rule for each in replayed(rule)]
    advice = said[0]
    assert not [each for each in said[1:] if each.title != advice.title], "it repeats itself only with later figures"
    assert advice.severity != "ok"
    assert advice.title and advice.message and advice.why and advice.action and advice.actions
    assert any(letter.isdigit() for letter in advice.message), "it tells no numbers"


@pytest.mark.parametrize("rule", [name for name in RULES if name != "summary"])
def test_what_it_proposes_is_a_setting_that_changes_something(rule: str) -> None:
    config, _ = recorded(rule)
    advice = next(each for each in replayed(rule) if each.rule == rule)
    for action in advice.actions:
        assert action.kind in ("stop", "open") or action.changes
        changed = TrainingConfig(**{**config.model_dump(), **action.changes})
        assert action.kind != "repeat" or changed != config
        assert action.kind != "open" or action.tab


def test_a_loss_that_jumps_again_and_again_is_told_its_rate_while_it_is_lower_than_at_first() -> None:
    said = replayed("spikes")
    assert [each.rule for each in said] == ["rate-too-high", "summary"]
    assert "Training loss jumped" in said[0].message and [each.kind for each in said[0].actions][-1] == "stop"
    assert [each.kind for each in said[1].actions] == ["repeat"], "the run has ended"


def test_a_model_that_collapsed_at_once_is_told_its_rate_and_not_that_it_is_too_small() -> None:
    assert {each.rule for each in replayed("collapsed")} == {"rate-too-high", "summary"}


def test_a_model_that_its_rate_has_thrown_to_chance_is_not_told_to_take_a_higher_one() -> None:
    assert {each.rule for each in replayed("no-better-than-chance")} == {"rate-too-high", "summary"}


def test_overfitting_is_told_early_enough_to_be_of_use() -> None:
    config, events = recorded("overfitting")
    steps = max(event.step for event in events if isinstance(event, StepEvent))
    said = next(each for each in replayed("overfitting") if each.rule == "overfitting")
    assert said.step < steps * 0.75
    assert [action.kind for action in said.actions] == ["stop", "repeat"]
    assert said.actions[1].changes["epochs"] < config.epochs


def falling(steps: int, every: int, turn: int) -> list[AnyEvent]:
    """Training loss falls all the time, validation loss rises from `turn` on."""
    said: list[AnyEvent] = [PhaseEvent(phase="training", steps=steps), check(0, 3.0)]
    for number in range(1, steps + 1):
        said.append(step(number, 3.0 * 0.98**number, epoch=number / 10))
        if number % every == 0:
            rise = max(0, number - turn) * 0.02
            said.append(check(number, 3.0 - min(number, turn) * 0.02 + rise, best=number <= turn))
    return said


def config(**settings: Any) -> TrainingConfig:
    return TrainingConfig(**{"task": "chat", "model": "starter-chat", **settings})


def test_it_takes_its_words_back_when_a_later_check_is_the_lowest_after_all() -> None:
    coach = Coach(config())
    first = told(coach, falling(60, 10, turn=30))
    assert [each.severity for each in first if each.rule == "overfitting"] == ["warn"]
    assert told(coach, [step(61, 0.5), check(61, 2.6)]) == []
    back = told(coach, [step(70, 0.5), check(70, 1.9, best=True)])
    assert [(each.rule, each.severity, each.step) for each in back] == [("overfitting", "ok", 70)]
    assert told(coach, [step(71, 0.5), check(71, 1.8, best=True)]) == []


def test_a_score_that_still_gets_better_is_no_overfitting() -> None:
    said = [
        event.model_copy(update={"best": True}) if isinstance(event, EvaluationEvent) else event
        for event in falling(60, 10, turn=30)
    ]
    assert [each.rule for each in told(Coach(config()), said)] == []


def test_a_run_that_goes_on_does_not_hear_the_same_twice() -> None:
    events = falling(60, 10, turn=30)
    coach = Coach(config())
    past: list[AnyEvent] = []
    for event in events:
        past += [event, *coach.observe(event)]
    again = Coach(config(), past)
    assert told(again, [each for each in events if isinstance(each, StepEvent | EvaluationEvent)][-22:]) == []
    assert len(again.history.points) == 60, "steps that came again are counted once"


def copying(floor: float) -> list[AnyEvent]:
    """Loss is at `floor` within the first pass."""
    said: list[AnyEvent] = [PhaseEvent(phase="training", steps=300), check(0, 2.5)]
    said += [step(number, floor + 2.5 * 0.7**number, epoch=number / 100) for number in range(1, 41)]
    return [*said, check(40, floor)]


def test_a_loss_next_to_nothing_within_the_first_pass_is_too_good_to_be_true() -> None:
    read = ReadEvent(trainer="sft", learned=400, held=40)
    said = told(Coach(config()), [read, *copying(0.02)])
    assert [each.rule for each in said] == ["too-good"]
    assert said[0].actions[0].tab == "data" and "before the end of epoch 1" in said[0].message
    assert told(Coach(config()), [read, *copying(0.4)]) == []


def test_of_labels_the_least_loss_that_smoothing_leaves_counts_as_nothing() -> None:
    read = ReadEvent(trainer="classification", learned=400, held=40, labels=12)
    smoothed = config(task="classification", label_smoothing=0.1)
    assert [each.rule for each in told(Coach(smoothed), [read, *copying(0.55)])] == []
    assert [each.rule for each in told(Coach(smoothed), [read, *copying(0.53)])] == ["too-good"]
    assert [each.rule for each in told(Coach(config(task="classification")), [read, *copying(0.53)])] == []


def test_a_loss_that_is_no_number_is_explained_with_its_rate() -> None:
    coach = Coach(config(learning_rate=0.05))
    coach.observe(step(1, 3.0))
    error = ErrorEvent(code="training-failed", message="", field="learning_rate")
    (said,) = coach.observe(error)
    assert (said.rule, said.severity) == ("diverged", "error")
    assert said.actions[0].changes == {"learning_rate": 0.005}
    assert coach.observe(ErrorEvent(code="disk-full", message="")) == []


def test_another_error_than_the_rates_is_not_the_coachs() -> None:
    assert Coach(config()).observe(ErrorEvent(code="disk-full", message="No room.")) == []


def test_labels_that_are_predicted_later_are_not_reported_at_the_end() -> None:
    coach = Coach(config(task="classification"))
    read = ReadEvent(trainer="classification", learned=700, held=80, labels=8)
    halfway = [PhaseEvent(phase="training", steps=100), read, check(0, 2.0)]
    halfway += [check(number, 2.0 - number / 100, missed={"refund": 5, "parcel": 4}) for number in (40, 50)]
    said = told(coach, halfway)
    assert [each.title for each in said] == ["2 labels are never predicted"] and "parcel (4 rows)" in said[0].message
    said = told(coach, [check(60, 1.3, missed={"refund": 5})])
    assert [each.title for each in said] == ["A label is never predicted"]
    assert told(coach, [check(70, 1.2, missed={"refund": 5})]) == []
    back = told(coach, [step(80, 1.0), check(80, 1.0, missed={"rare": 1})])
    assert [(each.rule, each.severity) for each in back] == [("never-predicted", "ok")]
    assert [each.rule for each in coach.end()] == ["summary"]


def test_labels_that_are_still_missing_at_the_end_are_reported_with_the_last_validations() -> None:
    coach = Coach(config(task="classification"))
    told(coach, [PhaseEvent(phase="training", steps=100), check(0, 2.0)])
    told(coach, [check(number, 1.5 - number / 200, missed={"refund": 5}) for number in (50, 75, 100)])
    said = {each.rule: each for each in coach.end()}
    assert "steps 75 and 100" in said["never-predicted"].message


def ended(events: list[AnyEvent], **settings: Any) -> AdviceEvent:
    coach = Coach(config(**settings))
    told(coach, [ReadEvent(trainer="sft", learned=400, held=40), *events])
    return next(each for each in coach.end() if each.rule == "summary")


def test_the_summary_tells_the_result_the_trend_and_one_thing_to_try() -> None:
    improving = ended(falling(60, 10, turn=60))
    assert improving.message == "Validation loss went from 3.00 to 1.80 (40% lower)."
    assert "at step 60, was the best: the model was still improving" in improving.why
    assert [action.changes for action in improving.actions] == [{"epochs": 2 * config().epochs}]
    flat = ended(
        [
            PhaseEvent(phase="training", steps=20),
            check(0, 3.0),
            step(10, 2.0),
            check(10, 2.0, best=True),
            check(20, 1.999, best=True),
        ]
    )
    assert "only by little" in flat.why and flat.actions[0].tab == "evaluate"
    overfit = ended(falling(60, 10, turn=30))
    assert "at step 30. Later ones were not better" in overfit.why
    assert overfit.action == "If the evaluation is not good enough: Train for fewer epochs, or add rows."
    assert [action.changes for action in overfit.actions] == [{"learning_rate": config().learning_rate / 2}]
    blind = ended([PhaseEvent(phase="training", steps=20), step(10, 3.0), step(20, 1.0)])
    assert "Without validation rows" in blind.why


def test_a_longer_run_has_twice_the_steps_only_where_they_end_the_run() -> None:
    epochs = config().epochs
    for settings, total, changes in (
        ({}, 60, {"epochs": 2 * epochs}),
        ({"max_steps": 60}, 60, {"max_steps": 120}),
        ({"max_steps": 500}, 60, {"epochs": 2 * epochs}),
    ):
        assert twice_as_long(RunHistory(config(**settings), total=total)).changes == changes


def test_the_summary_of_a_classifier_names_its_metric() -> None:
    coach = Coach(config(task="classification"))
    read = ReadEvent(trainer="classification", learned=700, held=80, labels=8)
    scores = [check(10 * at, 2.0 - at / 2, metrics={"macro_f1": 0.3 * at}, best=True) for at in (1, 2, 3)]
    told(coach, [PhaseEvent(phase="training", steps=30), read, check(0, 2.1), step(10, 1.5), *scores])
    (summary,) = coach.end()
    assert "90%" in summary.message and "still improving" in summary.why


def test_a_resumed_run_retracts_its_summary() -> None:
    coach = Coach(config())
    told(coach, falling(60, 10, turn=60))
    past = coach.end()
    resumed = Coach(config(), [*falling(60, 10, turn=60), *past])
    back = told(resumed, [step(61, 0.9), step(65, 0.9)])
    assert [(each.rule, each.severity) for each in back] == [("summary", "ok")]
    assert [each.rule for each in resumed.end()] == ["summary"]


@pytest.mark.slow
def test_it_looks_at_a_hundred_thousand_steps_in_time() -> None:
    import time

    coach = Coach(config())
    coach.observe(PhaseEvent(phase="training", steps=100_000))
    began = time.perf_counter()
    for number in range(1, 100_001):
        coach.observe(step(number, 1.0 + 1 / number, epoch=number / 1000))
    assert (time.perf_counter() - began) / 100_000 < 0.001


def test_without_the_best_checkpoint_the_last_step_is_the_result() -> None:
    coach = Coach(TrainingConfig(task="chat", model="m", keep_best=False))
    told(coach, [check(0, 1.2), step(1, 1.1), check(30, 0.8, best=True), step(100, 0.5), check(100, 1.5)])
    (said,) = [each for each in coach.end() if each.rule == "summary"]
    assert said.message == "Validation loss went from 1.20 to 1.50 (25% higher)."
    assert said.why == "The best validation was at step 30. The result is the last step."


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({}, "If you stop now, step 10 is the result."),
        ({"keep_best": False}, "If you stop now, the last step is the result."),
    ],
)
def test_overfitting_names_the_step_that_is_kept_which_a_score_may_have_chosen(
    more: dict[str, Any], sentence: str
) -> None:
    config = TrainingConfig(task="classification", model="m", epochs=4, early_stopping_patience=0, **more)
    history = RunHistory(config, total=100)
    history.points = [Point(number, 1.0 - number / 100, 1.0, number / 20) for number in range(1, 61)]
    losses = (
        (10, 0.50, True),
        (20, 0.40, False),
        (30, 0.48, False),
        (40, 0.52, False),
        (50, 0.56, False),
        (60, 0.6, False),
    )
    history.checks = [check(0, 0.9), *(check(at, loss, best=best) for at, loss, best in losses)]
    advice = RULES["overfitting"].advise(history)
    assert advice is not None and advice.action == sentence
    assert advice.actions[0].label == ("Stop" if more else "Stop and keep the best")


@pytest.mark.parametrize(("share", "proposed"), [(None, 0.4), (0.3, 0.5), (0.5, None)])
def test_more_validation_rows_are_proposed_only_where_there_would_be_more(
    share: float | None, proposed: float | None
) -> None:
    history = RunHistory(TrainingConfig(task="chat", model="m", validation_share=share), total=100)
    history.read = ReadEvent(trainer="sft", learned=24, held=6)
    history.checks = [check(0, 2.0), *(check(at, 1.0 + 0.2 * (at % 2)) for at in range(1, 11))]
    advice = RULES["noisy-validation"].advise(history)
    assert advice is not None
    assert [each.changes["validation_share"] for each in advice.actions] == ([proposed] if proposed else [])
