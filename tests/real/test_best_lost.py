"""A file of the best checkpoint is missing or cut when the result is made: the last step counts, and it is said."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_trainings import chat_job, run, tiny_llama

from studio.schema.events import AdviceEvent, EvaluationEvent, StepEvent
from studio.schema.models import ModelInfo
from studio.training.loop import checkpoints as checkpoints_module
from studio.training.loop.callbacks import Diverged, diverged
from studio.training.loop.checkpoints import Checkpoints
from studio.training.loop.run import train

WEIGHTS = "model.safetensors"
RISING: dict[str, Any] = {
    "epochs": 8,
    "learning_rate": 5e-2,
    "eval_steps": 4,
    "early_stopping_patience": 0,
    "method": "full",
}
"""A rate so high that the last step is not the best."""
HARMS: dict[str, Callable[[Path], None]] = {
    "a file is missing": lambda folder: (folder / WEIGHTS).unlink(),
    "a file is cut": lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:1000]),
    "all of it is gone": shutil.rmtree,
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    return tiny_llama(tmp_path_factory.mktemp("llama"))


def of_lost(said: list[Any]) -> list[AdviceEvent]:
    return [event for event in said if isinstance(event, AdviceEvent)]


def same(one: Path, two: Path) -> bool:
    ours, theirs = load_file(one / WEIGHTS), load_file(two / WEIGHTS)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("harm", HARMS)
def test_a_run_whose_best_checkpoint_is_harmed_meanwhile_ends_with_its_last_step(
    tmp_path: Path, llama: ModelInfo, harm: str
) -> None:
    job, said, checkpoints = chat_job(tmp_path, llama, **RISING), list[Any](), Checkpoints(tmp_path / "checkpoints")
    best = [0]

    def emit(event: Any) -> None:
        said.append(event)
        if isinstance(event, EvaluationEvent) and event.best:
            best[0] = event.step
        if isinstance(event, StepEvent) and event.step == 39:
            HARMS[harm](checkpoints.path(best[0]))

    outcome = train(job, emit, lambda: None)
    assert 0 < best[0] < outcome.steps == outcome.best_step == 40
    assert outcome.path is not None and same(outcome.path, checkpoints.path(40))
    (told,) = of_lost(said)
    assert f"checkpoint of step {best[0]} is incomplete" in told.message and "step 40" in told.message
    last = [event for event in said if isinstance(event, EvaluationEvent)][-1]
    assert outcome.metrics["eval_loss"] == last.eval_loss


def test_one_that_is_resumed_or_ended_at_its_end_has_its_last_step_too_and_all_is_well_with_a_whole_one(
    tmp_path: Path, llama: ModelInfo
) -> None:
    job, checkpoints = chat_job(tmp_path, llama, **RISING), Checkpoints(tmp_path / "checkpoints")
    first, said = run(job)
    assert first.best_step is not None and first.best_step < first.steps and not of_lost(said)
    checkpoints.prune({first.best_step, first.steps}, last=first.steps)  # the best keeps what loading it needs
    again, said = run(job)
    assert again.best_step == first.best_step and not of_lost(said)
    HARMS["a file is cut"](checkpoints.path(first.best_step))
    for _ in range(2):
        once_more, said = run(job)
        assert once_more.best_step == first.steps and len(of_lost(said)) == 1
        assert once_more.path is not None and same(once_more.path, checkpoints.path(first.steps))

    (checkpoints.path(first.steps) / "optimizer.pt").unlink()
    ended, said = run(replace(job, finalize_only=True), lambda: "keep")
    assert ended.stopped == "keep" and ended.best_step == first.steps and len(of_lost(said)) == 1
    assert ended.path is not None and same(ended.path, checkpoints.path(first.steps))
    assert not [event for event in said if isinstance(event, StepEvent)], "no run can go on from it, and none did"


def test_a_run_that_ran_away_keeps_the_newest_whole_checkpoint_when_the_best_is_harmed(
    tmp_path: Path, llama: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints_module, "MAX_TIME_SHARE", 1e9)  # each is saved, however quick the steps are
    job, said, checkpoints = chat_job(tmp_path, llama, **RISING), list[Any](), Checkpoints(tmp_path / "checkpoints")

    def emit(event: Any) -> None:
        said.append(event)
        if isinstance(event, StepEvent) and event.step == 39:
            best = [each.step for each in said if isinstance(each, EvaluationEvent) and each.best][-1]
            HARMS["a file is missing"](checkpoints.path(best))
            raise diverged(39, 5e-2)

    with pytest.raises(Diverged):
        train(job, emit, lambda: None)
    newest = checkpoints.loadable()[-1]
    assert same(tmp_path / "model", checkpoints.path(newest))
    (told,) = of_lost(said)
    assert f"The result is the checkpoint of step {newest}." in told.message


def test_a_result_that_a_kill_left_beside_its_place_is_taken_in_when_the_run_begins_again(
    tmp_path: Path, llama: ModelInfo
) -> None:
    job = chat_job(tmp_path, llama, epochs=1)
    run(job)
    (tmp_path / "adapter").rename(tmp_path / ".adapter.old")
    shutil.copytree(tmp_path / ".adapter.old", tmp_path / ".adapter.new")
    (tmp_path / ".adapter.new" / "newer.txt").touch()
    outcome, _ = run(job, lambda: "discard")
    assert outcome.path is None, "it ended before it made a result of its own"
    assert (tmp_path / "adapter" / "newer.txt").exists() and not list(tmp_path.glob(".adapter.*"))
