"""What a real training tells while it learns: answers at checks, a classifier's rows, what was cut; and a mirror."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from made_runs import small_tokenizer
from small_trainings import chat_job, label_job, run, tiny_bert, tiny_llama

from studio.models.inspect import inspect_folder
from studio.schema.dataset import DatasetSpec
from studio.schema.errors import StudioError
from studio.schema.events import AnyEvent, EvaluationEvent, HeldEvent, PhaseEvent, ReadEvent, ReplyEvent, StepEvent
from studio.schema.models import ModelInfo
from studio.training.coach import Coach
from studio.training.loop import callbacks, sample_replies
from studio.training.loop.callbacks import StopNow
from studio.training.loop.run import build_run, train
from studio.training.loop.trackers import TRACKERS
from studio.training.planning.setting_checks import check_settings


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    return tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def answers(said: list[AnyEvent]) -> list[tuple[str, int]]:
    return [(event.who, event.step) for event in said if isinstance(event, ReplyEvent)]


WATCHED = {"test_prompts": ("Where is it?", "Is it blue?"), "epochs": 3, "eval_steps": 5, "early_stopping_patience": 0}


def test_prompts_are_answered_by_the_base_at_each_check_and_at_the_end(tmp_path: Path, llama: ModelInfo) -> None:
    outcome, said = run(chat_job(tmp_path, llama, watch_share=1.0, **WATCHED))
    assert outcome.steps == 15
    steps = answers(said)
    assert steps[:2] == [("base", 0)] * 2
    assert [step for _, step in steps[2:-2]] == [5, 5, 10, 10], "the last check is followed by the end"
    assert steps[-2:] == [("tuned", outcome.best_step)] * 2
    at = next(place for place, event in enumerate(said) if isinstance(event, ReplyEvent) and event.step == 5)
    assert isinstance(said[at - 1], EvaluationEvent), "a check is told before the answers that go with it"


def test_long_work_between_two_steps_is_reported(
    tmp_path: Path, llama: ModelInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny model is quick, so the limits are zero seconds here."""
    for module in (callbacks, sample_replies):
        for limit in ("UNREPORTED_SECONDS", "PROGRESS_SECONDS"):
            monkeypatch.setattr(module, limit, 0.0)
    _, said = run(chat_job(tmp_path, llama, watch_share=1.0, **{**WATCHED, "batch_size": 2}))
    phases = [event for event in said if isinstance(event, PhaseEvent) and event.phase == "training" and event.total]
    assert "Validation, 4 of 6 rows" in [event.message for event in phases]
    assert any("prompts with the fine-tuned model, 0 of 2 (token 2 of" in event.message for event in phases)
    steps = [event.steps for event in phases if event.unit == "rows"]
    assert len(set(steps)) == 1 and steps[0] > 0


@pytest.mark.parametrize("patience", [0, 1])
def test_at_the_usual_share_of_time_each_new_best_and_the_last_check_are_answered(
    tmp_path: Path, llama: ModelInfo, patience: int
) -> None:
    """Steps of a tiny model are so quick that by its time alone nothing would be answered again."""
    settings = {**WATCHED, "early_stopping_patience": patience, "learning_rate": 0.05, "epochs": 6, "eval_steps": 3}
    job = chat_job(tmp_path, llama, **settings)
    assert job.config.watch_share == 0.1
    outcome, said = run(job)
    checks = [event for event in said if isinstance(event, EvaluationEvent) and event.step]
    best = {event.step for event in checks if event.best}
    answered = {event.step for event in said if isinstance(event, ReplyEvent)}
    assert answered >= {0, *best, checks[-1].step}
    assert checks[-1].step == outcome.steps and not checks[-1].best, "here the last is not the best"


def test_answering_changes_nothing_of_what_is_learned(tmp_path: Path, llama: ModelInfo) -> None:
    one = run(chat_job(tmp_path / "one", llama, watch_share=1.0, lora_dropout=0.1, **WATCHED))[1]
    other = run(chat_job(tmp_path / "other", llama, watch_share=0.0, lora_dropout=0.1, **WATCHED))[1]
    assert {step for _, step in answers(other)} <= {0, 5, 10, 15} and len(answers(other)) == 4
    losses = [[event.loss for event in each if isinstance(event, StepEvent)] for each in (one, other)]
    assert losses[0] == losses[1]


def test_a_run_that_goes_on_answers_what_it_has_not_and_never_as_the_base_again(
    tmp_path: Path, llama: ModelInfo
) -> None:
    job = chat_job(tmp_path, llama, watch_share=1.0, **WATCHED)
    said: list[AnyEvent] = []

    def emit(event: AnyEvent) -> None:
        said.append(event)
        if isinstance(event, StepEvent) and event.step == 8:
            raise StopNow("discard")

    train(job, emit, lambda: None)
    _, more = run(job)
    whole = run(chat_job(tmp_path / "whole", llama, watch_share=1.0, **WATCHED))[1]
    texts = {(event.who, event.step, event.prompt): event.text for event in whole if isinstance(event, ReplyEvent)}
    both = [event for event in [*said, *more] if isinstance(event, ReplyEvent)]
    assert {(each.who, each.step, each.prompt): each.text for each in both} == texts
    assert len(both) == len([event for event in whole if isinstance(event, ReplyEvent)]), "none was answered twice"


def test_a_classifier_tells_each_validation_row_and_the_labels_that_it_never_gives(
    tmp_path: Path, bert: ModelInfo
) -> None:
    job = label_job(tmp_path, bert)
    original = "MY CARD doesn’t work… Why?"  # the tokens would say it in lower case
    job.validation_rows[0] = {**job.validation_rows[0], "message": original}
    _, said = run(job)
    held = [event for event in said if isinstance(event, HeldEvent)]
    checks = [event for event in said if isinstance(event, EvaluationEvent)]
    assert [event.step for event in held] == [event.step for event in checks]
    assert [row.text for row in held[0].rows] == [row["message"] for row in job.validation_rows]
    assert all(row.right for row in held[0].rows) and len(held[0].rows) == 12
    assert not any(row.text for event in held[1:] for row in event.rows)
    right = {row.row: row.right for row in held[0].rows}
    for check, event in zip(checks, held, strict=True):
        given = {row.said for row in event.rows}
        assert set(check.missed) == set(right.values()) - given
        assert all(count == list(right.values()).count(label) for label, count in check.missed.items())
        share = sum(row.said == right[row.row] for row in event.rows) / 12
        assert abs(share - check.metrics["accuracy"]) < 1e-6
        assert abs(sum(row.loss for row in event.rows) / 12 - check.eval_loss) < 1e-3


def test_a_pair_of_texts_is_answered_with_the_types_that_it_is_trained_with(tmp_path: Path, bert: ModelInfo) -> None:
    roles = {"message": "text", "intent": "label", "more": "second"}
    job = label_job(tmp_path, bert, test_prompts=("It is late.\n\nWhere is it?",))
    rows = [{**row, "more": "Where is it?"} for row in job.train_rows]
    data = DatasetSpec(task="classification", roles=roles, label_names=job.data.label_names)
    built = build_run(replace(job, train_rows=rows, validation_rows=[], data=data), lambda *_: None)
    seen: list[dict[str, Any]] = []
    built.trainer.model.register_forward_pre_hook(lambda _, args, inputs: seen.append(inputs), with_kwargs=True)
    built.answerer.answer(built.trainer.model, 1)
    ids, types = (seen[-1][name][0].tolist() for name in ("input_ids", "token_type_ids"))
    assert types == built.task.types_of(ids, built.encoding) and set(types) == {0, 1}


def test_a_test_prompt_as_long_as_the_context_leaves_room_for_its_reply(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer, folder = small_tokenizer(), tmp_path / "base"
    config = GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=128, vocab_size=len(tokenizer), eos_token_id=2)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    info = inspect_folder(folder, title="Tiny GPT-2")
    _, said = run(chat_job(tmp_path / "run", info, rows=4, held=0, epochs=1, test_prompts=("late " * 300,)))
    assert answers(said) == [("base", 0), ("tuned", 1)]


def test_what_was_cut_is_counted_and_the_coach_speaks_before_the_first_step(tmp_path: Path, llama: ModelInfo) -> None:
    job = chat_job(tmp_path, llama, max_length=56, epochs=1)
    _, said = run(job)
    read = next(event for event in said if isinstance(event, ReadEvent))
    assert read.learned + read.lost == 20 and read.held > 0 and read.trainer == "sft"
    assert read.cut and read.longest > 56 and 0 < read.cut_tokens < read.tokens
    coach = Coach(job.config)
    spoken = next(
        (at, each) for at, event in enumerate(said) for each in coach.observe(event) if each.rule == "cut-off"
    )
    assert not any(isinstance(event, StepEvent) for event in said[: spoken[0]])
    assert spoken[1].actions[0].changes["max_length"] >= 112


def test_the_longest_rows_that_can_be_advised_leave_room_for_virtual_tokens(tmp_path: Path, llama: ModelInfo) -> None:
    job = chat_job(tmp_path, llama, method="prompt-tuning", virtual_tokens=16)
    read: list[AnyEvent] = []
    train(job, read.append, lambda: "discard" if any(isinstance(each, ReadEvent) for each in read) else None)
    assert [each.room for each in read if isinstance(each, ReadEvent)] == [(llama.context or 0) - 16]


def test_each_step_tells_what_the_processor_did(tmp_path: Path, llama: ModelInfo) -> None:
    _, said = run(chat_job(tmp_path, llama, epochs=1))
    busy = [event.processor for event in said if isinstance(event, StepEvent)]
    assert busy[0] is None and all(each is not None and 0 < each <= 1 for each in busy[1:])


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="TensorBoard is not installed")
def test_a_mirror_gets_every_step_and_check(tmp_path: Path, llama: ModelInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "mirror"))
    _, said = run(chat_job(tmp_path, llama, epochs=1, mirror="tensorboard"))
    told = EventAccumulator(str(tmp_path / "mirror"))
    told.Reload()
    losses = [event.loss for event in said if isinstance(event, StepEvent)]
    assert [round(each.value, 3) for each in told.Scalars("train/loss")] == [round(loss, 3) for loss in losses]
    assert len(told.Scalars("eval/loss")) == len([event for event in said if isinstance(event, EvaluationEvent)])


def test_a_mirror_that_is_not_installed_is_refused_with_the_way_to_install_it(llama: ModelInfo) -> None:
    from studio.machine.facts import machine_facts

    missing = [each for each in TRACKERS.values() if find_spec(each.package) is None]
    assert missing, "all mirrors are installed here: nothing is left to be refused"
    with pytest.raises(StudioError) as refused:
        check_settings(llama, machine_facts(), {"task": "chat", "model": "x", "mirror": missing[0].name})
    assert refused.value.field == "mirror" and f"pip install {missing[0].package}" in refused.value.message
