"""Which check of a run is the best, and when checks no longer get better."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from studio.schema.events import AnyEvent
from studio.training.loop.callbacks import EventCallback, ValidationRules
from studio.training.loop.checkpoints import Checkpoints, TrainingProgress


def judged(
    tmp_path: Path, metric: str, checks: list[tuple[float, float | None]], patience: int = 2
) -> TrainingProgress:
    """After (validation loss, macro F1) at steps 10, 20 …"""
    said: list[AnyEvent] = []
    standing = TrainingProgress()
    rules = ValidationRules(10, True, patience, metric)
    callback = EventCallback(said.append, lambda: None, standing, Checkpoints(tmp_path), rules)
    for number, (loss, score) in enumerate(checks, start=1):
        callback._update_best(10 * number, loss, {} if score is None else {"macro_f1": score})
        if standing.early:
            break
    return standing


def test_without_a_metric_the_lowest_validation_loss_is_the_best(tmp_path: Path) -> None:
    found = judged(tmp_path, "eval_loss", [(2.0, None), (1.5, None), (1.6, None)])
    assert (found.best_step, found.best_loss, found.early) == (20, 1.5, False)


def test_two_checks_without_a_lower_loss_end_a_run_with_that_patience(tmp_path: Path) -> None:
    found = judged(tmp_path, "eval_loss", [(2.0, None), (2.1, None), (2.05, None), (1.0, None)])
    assert (found.best_step, found.early) == (10, True)


def test_a_classifier_is_judged_by_its_score_where_the_loss_rises(tmp_path: Path) -> None:
    found = judged(tmp_path, "macro_f1", [(0.67, 0.76), (0.70, 0.79), (0.72, 0.81)])
    assert (found.best_step, found.best_loss, found.lowest_loss, found.misses) == (30, 0.72, 0.67, 0)


@pytest.mark.parametrize(("second", "best"), [(0.5, 20), (0.7, 10)])
def test_of_equal_scores_the_lower_loss_is_the_best(tmp_path: Path, second: float, best: int) -> None:
    assert judged(tmp_path, "macro_f1", [(0.6, 0.9), (second, 0.9)]).best_step == best


def test_a_loss_that_still_falls_is_no_reason_to_stop(tmp_path: Path) -> None:
    found = judged(tmp_path, "macro_f1", [(0.9, 0.8), (0.8, 0.7), (0.7, 0.75), (0.6, 0.78)])
    assert (found.best_step, found.early) == (10, False)


def test_neither_score_nor_loss_better_for_two_checks_ends_it(tmp_path: Path) -> None:
    found = judged(tmp_path, "macro_f1", [(0.6, 0.9), (0.7, 0.8), (0.8, 0.85), (0.5, 0.95)])
    assert (found.best_step, found.early) == (10, True)


def saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, losses: dict[int, float], *, due: bool) -> list[int]:
    """Steps that are saved of a run of 40 with a check every ten; without validation rows where there are no losses."""
    monkeypatch.setattr(Checkpoints, "due", lambda self: due)
    rules = ValidationRules(every=10, validates=bool(losses), patience=0)
    callback = EventCallback(lambda event: None, lambda: None, TrainingProgress(), Checkpoints(tmp_path), rules)
    callback.trainer = SimpleNamespace(missed=dict, sliced=None)
    callback.baseline = SimpleNamespace(delayed=0.0, is_finished=True)
    saved = []
    for step in range(0, 41):
        state = SimpleNamespace(global_step=step, max_steps=40)
        control = SimpleNamespace(should_save=False, should_evaluate=False, should_training_stop=False)
        if step:
            callback.on_step_end(None, state, control)
        if step in losses and (control.should_evaluate or not step):
            callback.on_evaluate(
                SimpleNamespace(learning_rate=1e-4, eval_on_start=True), state, control, {"eval_loss": losses[step]}
            )
        if control.should_save:
            saved.append(step)
    return saved


def test_the_best_steps_and_the_last_are_saved_whatever_it_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {0: 3.0, 10: 2.0, 20: 2.5, 30: 1.0, 40: 1.5}
    assert saves(tmp_path, monkeypatch, losses, due=False) == [10, 30, 40]
    assert saves(tmp_path, monkeypatch, losses, due=True) == [10, 20, 30, 40]


def test_without_validation_rows_what_is_saved_is_what_is_cheap_and_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert saves(tmp_path, monkeypatch, {}, due=False) == [40]
    assert saves(tmp_path, monkeypatch, {}, due=True) == [10, 20, 30, 40]
