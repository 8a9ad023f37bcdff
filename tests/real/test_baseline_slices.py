"""The base model is measured in slices between the first steps, and training learns the same."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_trainings import LABELS, chat_job, label_job, losses, tiny_bert, tiny_llama
from small_trainings import run as run_at_once

from studio.schema.events import AnyEvent, EvaluationEvent, HeldEvent, PhaseEvent, ReplyEvent, StepEvent
from studio.schema.models import ModelInfo
from studio.schema.runs import StopWish
from studio.training.loop import baseline
from studio.training.loop.baseline_cache import BaselineCache
from studio.training.loop.loading import TrainingJob
from studio.training.loop.outcome import Outcome
from studio.training.loop.run import train

PROMPTS = ("Where is my parcel?", "Do you ship to Norway?")
CASES: dict[str, Callable[[Path, ModelInfo], TrainingJob]] = {
    "adapter": lambda place, info: chat_job(
        place, info, rows=40, held=8, epochs=2, test_prompts=PROMPTS, lora_dropout=0.1, eval_steps=6, batch_size=2
    ),
    "all weights": lambda place, info: label_job(
        place, info, epochs=4, test_prompts=PROMPTS, eval_steps=6, batch_size=4, head_first=0.2
    ),
}


def model_for(case: str, place: Path) -> ModelInfo:
    return tiny_bert(place) if case == "all weights" else tiny_llama(place)


def run(job: TrainingJob) -> tuple[Outcome, list[AnyEvent]]:
    """Train as a worker does whose run was not prepared."""
    events: list[AnyEvent] = []
    return train(job, events.append, lambda: None), events


def base_events(events: list[AnyEvent]) -> tuple[EvaluationEvent, list[str]]:
    """The validation before training, and the base model's replies."""
    (first,) = [each for each in events if isinstance(each, EvaluationEvent) and each.step == 0]
    return first, [each.text for each in events if isinstance(each, ReplyEvent) and each.who == "base"]


def weights_of(outcome: Outcome) -> dict[str, Any]:
    assert outcome.path is not None
    name = "adapter_model.safetensors" if outcome.kind == "adapter" else "model.safetensors"
    weights: dict[str, Any] = load_file(outcome.path / name)
    return weights


def validations(events: list[AnyEvent]) -> list[tuple[int, float, bool]]:
    found = [(each.step, each.eval_loss, each.best) for each in events if isinstance(each, EvaluationEvent)]
    return [each for each in found if each[0]]


@pytest.mark.parametrize("case", CASES)
def test_a_base_model_that_is_measured_between_steps_changes_nothing_of_what_is_learned(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, make = model_for(case, tmp_path / "base"), CASES[case]
    expected, at_once = run_at_once(make(tmp_path / "at once", info))
    monkeypatch.setattr(baseline, "SLICE_SECONDS", -1.0)  # no time before the first step, and one unit in each slice
    outcome, sliced = run(make(tmp_path / "sliced", info))

    first, replies = base_events(sliced)
    assert sliced.index(first) > next(at for at, each in enumerate(sliced) if isinstance(each, StepEvent))
    as_usual, usual_replies = base_events(at_once)
    assert at_once.index(as_usual) < next(at for at, each in enumerate(at_once) if isinstance(each, StepEvent))
    assert first.eval_loss == pytest.approx(as_usual.eval_loss, abs=1e-5)
    assert first.metrics == pytest.approx(as_usual.metrics, abs=1e-4) and not first.best
    assert replies == usual_replies and len(replies) == len(PROMPTS)

    assert losses(sliced) == losses(at_once)
    assert validations(sliced) == validations(at_once)
    assert outcome.metrics == pytest.approx(expected.metrics, abs=1e-5) and outcome.best_step == expected.best_step
    ours, theirs = weights_of(outcome), weights_of(expected)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    words = [each.message for each in sliced if isinstance(each, PhaseEvent)]
    assert "Computing the first step. The base model is measured between the next ones" in words
    assert any(each.delayed for each in sliced if isinstance(each, StepEvent))


def test_a_run_that_waits_for_start_measures_everything_however_slow_the_machine_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline, "SLICE_SECONDS", -1.0)
    job = chat_job(tmp_path / "run", tiny_llama(tmp_path / "base"), max_steps=1, test_prompts=PROMPTS)
    _, events = run_at_once(job)
    kinds = [each.kind for each in events]
    before = kinds[: kinds.index("step")]
    assert before.count("reply") == len(PROMPTS) and before.count("evaluation") == 1


def test_the_first_rows_that_are_shown_have_their_texts_when_the_base_model_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline, "SLICE_SECONDS", -1.0)
    _, events = run(label_job(tmp_path / "run", tiny_bert(tmp_path / "base"), epochs=1, eval_steps=1, batch_size=4))
    first, *others = [each for each in events if isinstance(each, HeldEvent)]
    assert first.step == 1 and all(row.text and row.right for row in first.rows)
    assert not any(row.text for each in others for row in each.rows)


def test_a_short_run_measures_the_base_model_after_its_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline, "SLICE_SECONDS", -1.0)
    job = chat_job(tmp_path / "run", tiny_llama(tmp_path / "base"), max_steps=2, test_prompts=PROMPTS)
    outcome, events = run(job)
    first, replies = base_events(events)
    assert len(losses(events)) == 2 and len(replies) == len(PROMPTS)
    assert outcome.metrics["base_eval_loss"] == first.eval_loss
    said = [each.who for each in events if isinstance(each, ReplyEvent) and each.step in (0, outcome.best_step)]
    assert said[-2:] == ["tuned", "tuned"], "the replies of the result are the last"


def test_a_paused_run_measures_the_base_model_after_it_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, make = tiny_llama(tmp_path / "base"), CASES["adapter"]
    expected, whole = run_at_once(make(tmp_path / "whole", info))
    monkeypatch.setattr(baseline, "SLICE_SECONDS", -1.0)
    seen: list[AnyEvent] = []

    def pause() -> StopWish | None:
        return "pause" if any(isinstance(each, StepEvent) for each in seen) else None

    job = make(tmp_path / "run", info)
    train(job, seen.append, pause)
    assert not [each for each in seen if isinstance(each, EvaluationEvent | ReplyEvent)]
    outcome, rest = run(make(tmp_path / "run", info))
    first, replies = base_events(rest)
    usual, usual_replies = base_events(whole)
    assert first.eval_loss == pytest.approx(usual.eval_loss, abs=1e-5) and replies == usual_replies
    assert [*losses(seen), *losses(rest)] == losses(whole)
    ours, theirs = weights_of(outcome), weights_of(expected)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_without_memory_for_the_weights_the_base_model_is_measured_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baseline, "SLICE_SECONDS", -1.0)
    monkeypatch.setattr(baseline, "COPY_SHARE", 0.0)
    _, events = run(label_job(tmp_path / "run", tiny_bert(tmp_path / "base"), epochs=1))
    kinds = [each.kind for each in events]
    assert kinds.index("evaluation") < kinds.index("step")


def test_a_damaged_cache_is_computed_again(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "base")

    def make(name: str) -> TrainingJob:
        job = chat_job(tmp_path / name, info, epochs=1, test_prompts=PROMPTS)
        return replace(job, token_cache=tmp_path / "cache")

    _, first = run(make("first"))
    files = list((tmp_path / "cache").glob("*.baseline"))
    assert len(files) == 2, "the validation, and the replies"
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    _, second = run(make("second"))
    assert base_events(second) == base_events(first)
    assert BaselineCache(tmp_path / "cache").load(["nothing"]) is None


def test_after_labels_were_renamed_the_base_model_answers_with_the_new_names(tmp_path: Path) -> None:
    info = tiny_bert(tmp_path / "base")

    def named(name: str, rename: Callable[[str], str]) -> list[str]:
        job = label_job(tmp_path / name, info, epochs=1, max_steps=1, test_prompts=PROMPTS)
        rows, held = (
            [{**row, "intent": rename(row["intent"])} for row in rows] for rows in (job.train_rows, job.validation_rows)
        )
        data = job.data.model_copy(update={"label_names": tuple(map(rename, LABELS))})
        job = replace(job, data=data, train_rows=rows, validation_rows=held, token_cache=tmp_path / "cache")
        replies = [each for each in run(job)[1] if isinstance(each, ReplyEvent) and each.who == "base"]
        return [each.text.partition(" (")[0] for each in replies]

    before, after = named("before", str), named("after", str.upper)
    assert len(before) == len(PROMPTS) and set(before) <= set(LABELS)
    assert after == [label.upper() for label in before]
