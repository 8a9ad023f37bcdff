"""What to do next with a run that has a model: one step with one reason, for every result."""

import itertools

import pytest

from studio.schema.report import Metric, Report
from studio.services.runs.next_step import RunFacts, next_step

OUTCOMES = ("better", "worse", "useful", "same", "useless", "unclear", "alone", "")


def report(outcome: str, rows: int = 23, needed: int | None = None, folds: Report | None = None) -> Report:
    metrics = {"accuracy": Metric(base=None, tuned=0.8)}
    given = {"outcome": outcome, "rows_needed": needed, "cross_validation": folds}
    return Report(rows=rows, split="test", metrics=metrics, verdict="So it is.", **given)  # type: ignore[arg-type]


def kind(outcome: str, needed: int | None = None, folds: Report | None = None, **facts: object) -> str:
    return next_step(RunFacts(report=report(outcome, needed=needed, folds=folds), **facts)).kind  # type: ignore[arg-type]


def test_a_run_that_was_not_evaluated_is_evaluated_first() -> None:
    step = next_step(RunFacts(has_labels=True, repeat="Run again", tried=True))
    assert step.kind == "evaluate" and "simple guesses" in step.reason
    assert "the base model" in next_step(RunFacts()).reason


def test_a_better_model_is_tried_and_then_exported() -> None:
    assert kind("better") == "chat"
    assert kind("better", tried=True) == "export"
    assert kind("better", repeat="Run again with 6 epochs", needed=60, fold_rows=200) == "chat"


@pytest.mark.parametrize("outcome", ["useless", "worse", "same", "useful"])
def test_a_model_that_is_not_good_enough_is_trained_again_as_the_coach_proposes(outcome: str) -> None:
    facts = RunFacts(report=report(outcome, needed=60), repeat="Run again with 6 epochs", repeat_reason="It improved.")
    assert (next_step(facts).kind, next_step(facts).reason) == ("repeat", "It improved.")


@pytest.mark.parametrize("outcome", ["useless", "worse"])
def test_without_a_proposal_the_rows_of_a_bad_model_are_checked_and_not_more_rows_tested(outcome: str) -> None:
    assert kind(outcome, needed=60, fold_rows=200) == "check-data"


@pytest.mark.parametrize("outcome", ["unclear", "same", "useful"])
def test_what_few_rows_leave_open_is_settled_by_the_rows_that_there_are_else_by_more(outcome: str) -> None:
    assert kind(outcome, needed=60, fold_rows=200, fold_seconds=240.0) == "cross-validate"
    assert kind(outcome, needed=60, fold_rows=200, fold_seconds=9_000.0) == "label", "hours are too long"
    assert kind(outcome, needed=60) == "label"
    assert "About 60 more" in next_step(RunFacts(report=report(outcome, needed=60))).reason


def test_after_a_cross_validation_its_verdict_counts() -> None:
    assert kind("unclear", needed=60, folds=report("better", 230)) == "chat"
    assert kind("unclear", needed=60, folds=report("unclear", 230, needed=400)) == "label"


def test_while_folds_train_the_model_can_be_tried() -> None:
    assert kind("unclear", needed=60, folds_running=True) == "chat"


def test_there_is_one_step_with_a_short_reason_for_every_result() -> None:
    for outcome, needed, rows, repeat, labels, tried in itertools.product(
        OUTCOMES, (None, 60), (0, 230), ("", "Run again"), (True, False), (True, False)
    ):
        facts = RunFacts(report(outcome, needed=needed), labels, repeat, "It improved.", rows, None, False, tried)
        step = next_step(facts)
        assert step.reason.endswith(".") and all(len(each.split()) <= 20 for each in step.reason.split(". "))


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_without_its_rows_a_run_is_only_used(outcome: str) -> None:
    more = {"needed": 60, "repeat": "Run again", "rows_deleted": True}
    assert kind(outcome, **more) == "chat"  # type: ignore[arg-type]
    assert kind(outcome, tried=True, **more) == "export"  # type: ignore[arg-type]
    assert next_step(RunFacts(rows_deleted=True)).kind == "chat"
