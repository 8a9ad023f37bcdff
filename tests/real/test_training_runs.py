"""A whole run, small: what it says, what it keeps, how it is stopped."""

import shutil
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from made_runs import VOCABULARY
from safetensors.torch import load_file, save_file
from small_trainings import LABELS, chat_job, label_job, losses, run, tiny_bert, tiny_llama

from studio.schema.errors import StudioError
from studio.schema.events import CheckpointEvent, EvaluationEvent, PhaseEvent, ReplyEvent, StepEvent
from studio.schema.models import ModelInfo
from studio.schema.runs import StopWish


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    return tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def of(kind: type, said: list[Any]) -> list[Any]:
    return [event for event in said if isinstance(event, kind)]


def test_a_run_says_everything_in_order(tmp_path: Path, llama: ModelInfo) -> None:
    job = chat_job(tmp_path, llama, test_prompts=("Where is it?", "Why?"), eval_steps=4, watch_share=0.0)
    outcome, said = run(job)
    begun = [event for event in of(PhaseEvent, said) if event.done is None]
    phases = [event.phase for event in begun]
    assert phases == ["loading", "reading", "training", "saving"]
    steps = of(StepEvent, said)
    assert [event.step for event in steps] == list(range(1, 11))
    assert outcome.steps == 10 == begun[-2].steps
    progress = [event.message for event in of(PhaseEvent, said) if event.message]
    assert progress[0] == "Answering your test prompts with the base model, 0 of 2"
    assert "Computing the first step" in progress and "with the fine-tuned model" in progress[-1]
    assert [event.step for event in of(EvaluationEvent, said)] == [0, 4, 8, 10]
    assert [event.step for event in of(CheckpointEvent, said)] == [4, 8, 10]
    assert all(event.rows_per_second > 0 and event.memory_bytes > 2**26 and event.grad_norm for event in steps)
    assert steps[-1].epoch == pytest.approx(2.0)
    replies = of(ReplyEvent, said)
    assert [(event.who, event.prompt) for event in replies] == [
        ("base", "Where is it?"),
        ("base", "Why?"),
        ("tuned", "Where is it?"),
        ("tuned", "Why?"),
    ]
    assert said.index(replies[1]) < said.index(steps[0]) < said.index(replies[2])
    assert losses(said)[-1] < losses(said)[0]


def test_a_classifier_s_prompts_are_answered_with_labels(tmp_path: Path, bert: ModelInfo) -> None:
    asked = ("Where is my parcel?", "You are great!")
    _, said = run(label_job(tmp_path, bert, epochs=1, test_prompts=asked, watch_share=0.0))
    base, _, tuned, _ = of(ReplyEvent, said)
    assert base.who == "base" and "nearest neighbors from your labels" in base.text
    assert tuned.who == "tuned" and tuned.text.split(" (")[0] in LABELS and tuned.text.endswith("%)")


def test_the_step_that_does_best_is_the_result(tmp_path: Path, llama: ModelInfo) -> None:
    outcome, said = run(
        chat_job(tmp_path, llama, epochs=8, learning_rate=5e-2, eval_steps=4, early_stopping_patience=0, method="full")
    )
    checks = [event for event in of(EvaluationEvent, said) if event.step]
    best = min(checks, key=lambda event: event.eval_loss)
    assert best.step < outcome.steps, "the rate is meant to be so high that the last step is not the best"
    assert outcome.best_step == best.step
    assert outcome.metrics["eval_loss"] == best.eval_loss
    assert outcome.path is not None
    kept = load_file(outcome.path / "model.safetensors")
    saved = load_file(tmp_path / "checkpoints" / f"checkpoint-{best.step}" / "model.safetensors")
    assert all(torch.equal(kept[name], saved[name]) for name in kept)


def test_without_validation_rows_the_last_step_is_the_result(tmp_path: Path, llama: ModelInfo) -> None:
    outcome, said = run(chat_job(tmp_path, llama, held=0, epochs=1))
    assert of(EvaluationEvent, said) == []
    assert outcome.best_step == outcome.steps == 5
    assert outcome.metrics["loss"] == losses(said)[-1]


def test_a_run_ends_early_when_validation_loss_rises(tmp_path: Path, llama: ModelInfo) -> None:
    job = chat_job(
        tmp_path, llama, epochs=30, learning_rate=5e-2, eval_steps=3, early_stopping_patience=2, method="full"
    )
    outcome, _ = run(job)
    assert outcome.early and outcome.steps < 150
    assert outcome.best_step == outcome.steps - 6
    again, more = run(job)  # what is found on disk has ended: nothing is trained again
    assert of(StepEvent, more) == []
    assert (again.best_step, again.early, again.metrics["eval_loss"]) == (
        outcome.best_step,
        True,
        outcome.metrics["eval_loss"],
    )


@pytest.mark.parametrize("rows", [8, 13])
def test_the_loss_is_the_same_with_rows_in_one_go_or_in_several(tmp_path: Path, llama: ModelInfo, rows: int) -> None:
    common: dict[str, Any] = {"epochs": 1, "group_by_length": False, "rows": rows, "held": 0, "method": "full"}
    _, one = run(chat_job(tmp_path / "one", llama, batch_size=4, **common))
    shutil.rmtree(tmp_path / "one")
    _, several = run(chat_job(tmp_path / "several", llama, batch_size=1, gradient_accumulation=4, **common))
    assert sorted(losses(several))[-1] == pytest.approx(sorted(losses(one))[-1], abs=0.35)
    assert all(abs(loss - log(VOCABULARY)) < 0.6 for loss in (losses(one)[0], losses(several)[0])), (
        "no sum of four losses"
    )


def test_a_classifier_s_loss_is_not_multiplied_by_the_goes(tmp_path: Path, bert: ModelInfo) -> None:
    _, one = run(label_job(tmp_path / "one", bert, epochs=1, batch_size=8))
    _, several = run(label_job(tmp_path / "several", bert, epochs=1, batch_size=2, gradient_accumulation=4))
    assert losses(several)[0] == pytest.approx(losses(one)[0], abs=0.15)
    first = [of(StepEvent, said)[0].grad_norm for said in (one, several)]
    assert first[1] < 2 * first[0]


def test_validation_loss_does_not_depend_on_the_size_of_batches(tmp_path: Path, llama: ModelInfo) -> None:
    checks = [
        of(EvaluationEvent, run(chat_job(tmp_path / str(size), llama, epochs=0.1, batch_size=size, held=5))[1])[0]
        for size in (1, 2, 5)
    ]
    assert [check.eval_loss for check in checks] == pytest.approx([checks[0].eval_loss] * 3, abs=1e-4)


class Stopper:
    """Wishes a stop once the run has been asked so often."""

    def __init__(self, wish: StopWish, after: int) -> None:
        self.wish, self.after, self.asked = wish, after, 0

    def __call__(self) -> StopWish | None:
        self.asked += 1
        return self.wish if self.asked > self.after else None


def test_a_stop_that_keeps_finishes_the_step_and_saves(tmp_path: Path, llama: ModelInfo) -> None:
    outcome, said = run(chat_job(tmp_path, llama, epochs=10), Stopper("keep", 12))
    assert outcome.stopped == "keep" and not outcome.early
    assert 0 < outcome.steps < 50
    assert outcome.steps == of(StepEvent, said)[-1].step == of(CheckpointEvent, said)[-1].step
    assert outcome.path is not None and (outcome.path / "adapter_config.json").exists()
    more, later = run(chat_job(tmp_path, llama, epochs=10))
    assert of(StepEvent, later)[0].step == outcome.steps + 1
    assert more.stopped is None


def test_a_stop_in_the_middle_of_a_check_keeps_what_was_learned(tmp_path: Path, llama: ModelInfo) -> None:
    job = chat_job(tmp_path, llama, epochs=10, eval_steps=1, held=6, batch_size=1, early_stopping_patience=0)
    told: list[Any] = []

    def in_second_check() -> StopWish | None:
        return "keep" if sum(isinstance(event, StepEvent) for event in told) == 2 else None

    from studio.training.loop.run import train

    outcome = train(job, told.append, in_second_check)
    assert outcome.stopped == "keep"
    assert outcome.path is not None
    assert outcome.steps <= 3


def test_a_stop_while_a_resumed_run_reads_its_rows_makes_its_checkpoint_the_result(
    tmp_path: Path, llama: ModelInfo
) -> None:
    paused, _ = run(chat_job(tmp_path, llama, epochs=10), Stopper("pause", 12))
    assert paused.path is None and paused.steps > 0
    outcome, said = run(chat_job(tmp_path, llama, epochs=10), Stopper("keep", 0))
    assert (outcome.stopped, outcome.steps, of(StepEvent, said)) == ("keep", paused.steps, [])
    assert outcome.path is not None and (outcome.path / "adapter_config.json").exists()


@pytest.mark.parametrize("wish", ["keep", "discard"])
def test_a_pause_can_become_a_stop_while_the_validation_goes_on(
    tmp_path: Path, llama: ModelInfo, wish: StopWish
) -> None:
    job = chat_job(tmp_path, llama, epochs=10, eval_steps=4, early_stopping_patience=0)
    told: list[Any] = []

    def asked() -> StopWish | None:
        steps = len(of(StepEvent, told))
        return None if steps < 3 else "pause" if steps == 3 else wish  # the fourth step ends with a validation

    from studio.training.loop.run import train

    outcome = train(job, told.append, asked)
    assert (outcome.stopped, outcome.steps) == (wish, 4)
    assert (outcome.path is not None) == (wish == "keep")


@pytest.mark.parametrize("after", [0, 4, 9])
def test_a_stop_that_discards_leaves_nothing(tmp_path: Path, llama: ModelInfo, after: int) -> None:
    outcome, _ = run(chat_job(tmp_path, llama), Stopper("discard", after))
    assert (outcome.stopped, outcome.path) == ("discard", None)
    assert not (tmp_path / "adapter").exists()


def test_a_stop_before_the_first_step_has_nothing_to_keep(tmp_path: Path, llama: ModelInfo) -> None:
    outcome, said = run(chat_job(tmp_path, llama), Stopper("keep", 0))
    assert (outcome.stopped, outcome.path, outcome.steps) == ("keep", None, 0)
    assert of(StepEvent, said) == []


def test_weights_that_run_away_end_the_run_with_a_plain_error(tmp_path: Path, llama: ModelInfo) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(str(llama.path), broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(StudioError, match="not a number") as refused:
        run(chat_job(tmp_path / "run", llama.model_copy(update={"path": str(broken)}), held=0))
    assert refused.value.field == "learning_rate"
    assert not list((tmp_path / "run" / "checkpoints").glob("checkpoint-*"))


def test_a_full_disk_ends_the_run_and_leaves_what_was_saved(
    tmp_path: Path, llama: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from studio.training.loop import checkpoints
    from studio.training.loop.run import train

    said: list[Any] = []

    def emit(event: Any) -> None:
        said.append(event)
        if isinstance(event, CheckpointEvent):
            monkeypatch.setattr(checkpoints, "ROOM_LEFT", 2**60)  # from now on no disk has enough room

    with pytest.raises(StudioError, match="not enough free disk space") as refused:
        train(chat_job(tmp_path, llama, eval_steps=3), emit, lambda: None)
    assert refused.value.code == "disk-full"
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-3"]
    monkeypatch.undo()
    outcome, later = run(chat_job(tmp_path, llama, eval_steps=3))
    assert of(StepEvent, later)[0].step == 4 and outcome.steps == 10


def test_rows_whose_reply_lies_beyond_the_limit_are_refused_in_plain_words(tmp_path: Path, llama: ModelInfo) -> None:
    with pytest.raises(StudioError, match="No training row is left") as refused:
        run(chat_job(tmp_path, llama, max_length=16, system_prompt="You are a kind helper in a shop. " * 8))
    assert refused.value.field == "max_length"


def test_checks_use_the_same_rows_and_no_more_than_asked_for(tmp_path: Path, bert: ModelInfo) -> None:
    from studio.training.loop.run import sample_rows

    rows = [{"n": number} for number in range(100)]
    assert list(sample_rows(rows, 10, 42)) == list(sample_rows(rows, 10, 42))
    assert list(sample_rows(rows, 10, 42)) != list(sample_rows(rows, 10, 43))
    assert list(sample_rows(rows, 500, 42)) == rows
    assert len(sample_rows(rows, 10, 42)) == 10


def test_the_passes_end_a_run_that_could_take_more_steps(tmp_path: Path, llama: ModelInfo) -> None:
    outcome, _ = run(chat_job(tmp_path, llama, rows=8, held=0, epochs=1, batch_size=4, max_steps=12))
    assert outcome.steps == 2
