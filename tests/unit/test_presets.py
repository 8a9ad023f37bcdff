"""Settings come from rows, model, method and machine; each says why; what a person set stays."""

from typing import Any

import pytest

from studio.machine.facts import MachineFacts
from studio.schema.config import Plan, TrainingConfig
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.tasks import task_named
from studio.training.methods import METHODS, method_named
from studio.training.planning.eval_schedule import total_steps
from studio.training.planning.plan_facts import as_trained
from studio.training.planning.presets import PRESETS, PlanFacts, PlanRequest, default_method, estimate, make_plan
from tests.model_facts import ENCODER, GB, GPU, LAPTOP, LARGE, SMALL

OLD = MachineFacts(4, 8 * GB, 6 * GB, 50 * GB, (), False)


def facts(train: int, held: int = 30, longest: int = 180, labels: int = 0) -> PlanFacts:
    return PlanFacts(train + held, train, held, labels, [longest // 2] * 99 + [longest], 0.5, longest)


def plan(
    rows: PlanFacts, info: ModelInfo = SMALL, machine: MachineFacts = LAPTOP, preset: str = "balanced", **by_hand: Any
) -> Plan:
    task = task_named("classification" if rows.labels else "chat")
    method = by_hand.pop("method", default_method(info))
    return make_plan(PlanRequest(task, info, preset, rows, machine, "a run"), method, by_hand)


@pytest.mark.parametrize(
    ("rows", "passes"), [(20, 10), (102, 6), (240, 4), (400, 3), (1500, 3), (5000, 2), (50_000, 1)]
)
def test_fewer_rows_are_read_more_often(rows: int, passes: int) -> None:
    made = plan(facts(rows))
    assert made.config.epochs == passes
    assert f"because there are {rows:,} training rows" in made.because[0]


def test_presets_differ_in_passes_and_width_and_all_are_valid() -> None:
    made = {name: plan(facts(400), preset=name).config for name in PRESETS}
    assert made["quick"].epochs < made["balanced"].epochs < made["thorough"].epochs
    assert made["thorough"].lora_rank > made["balanced"].lora_rank
    assert {each.lora_alpha / each.lora_rank for each in made.values()} == {2}


@pytest.mark.parametrize(
    ("info", "machine", "precision", "word"),
    [
        (SMALL, LAPTOP, "bfloat16", "this CPU computes fast"),
        (SMALL, OLD, "float32", "slow with shorter formats"),
        (SMALL, GPU, "bfloat16", "the GPU computes fast"),
        (ENCODER, LAPTOP, "float32", "most exact"),
    ],
)
def test_precision_is_what_the_processor_does_fast(
    info: ModelInfo, machine: MachineFacts, precision: str, word: str
) -> None:
    made = plan(facts(400, labels=4 if info is ENCODER else 0), info, machine)
    assert made.config.precision == precision
    assert any(word in reason for reason in made.because)


def test_small_encoders_learn_whole_and_the_rest_by_an_adapter() -> None:
    assert default_method(ENCODER) == "full"
    assert default_method(SMALL) == "lora"


def test_adapters_of_small_models_learn_faster_than_of_large_ones_and_those_faster_than_all_weights() -> None:
    rates = [
        plan(facts(400)).config.learning_rate,
        plan(facts(400), LARGE).config.learning_rate,
        plan(facts(400), SMALL, method="full").config.learning_rate,
    ]
    assert rates == sorted(rates, reverse=True)


def test_no_row_is_cut_where_it_can_be_helped_and_else_it_is_said() -> None:
    whole = plan(facts(400, longest=610))
    assert whole.config.max_length >= 610
    assert any("no row is truncated" in reason for reason in whole.because)
    cut = plan(facts(400, longest=5000))
    assert cut.config.max_length < 5000
    assert any("will be truncated" in reason for reason in cut.because)
    assert plan(facts(400, longest=5000, labels=3), ENCODER).config.max_length <= 512


def test_without_validation_rows_the_last_step_is_kept() -> None:
    made = plan(facts(100, held=0))
    assert (made.config.keep_best, made.config.early_stopping_patience) == (False, 0)
    assert any("last checkpoint is the result" in reason for reason in made.because)


def test_a_run_that_would_not_fit_reads_fewer_rows_at_once_in_more_goes() -> None:
    roomy = plan(facts(400, longest=1000), LARGE, GPU).config
    tight = plan(facts(400, longest=1000), LARGE, MachineFacts(16, 40 * GB, 28 * GB, GB, (), True))
    assert tight.config.batch_size < roomy.batch_size
    assert tight.config.batch_size * tight.config.gradient_accumulation == 4
    assert any("would not fit into memory" in reason for reason in tight.because)


def test_what_was_set_by_hand_stays_and_is_known_as_such() -> None:
    made = plan(facts(400), epochs=7, learning_rate=3e-4, **{"lora-rank": 4})
    assert (made.config.epochs, made.config.learning_rate, made.config.lora_rank) == (7, 3e-4, 4)
    assert made.config.lora_alpha == 8
    assert set(made.changed) == {"epochs", "learning_rate", "lora_rank"}
    assert not any("epoch" in reason or "Learning rate" in reason for reason in made.because)


@pytest.mark.parametrize(
    ("by_hand", "field"),
    [
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": 1e9}, "learning_rate"),
        ({"epochs": "many"}, "epochs"),
        ({"max_length": 100_000}, "max_length"),
        ({"eval_steps": 500}, "eval_steps"),
        ({"precision": "float16"}, "precision"),
        ({"threads": 64}, "threads"),
        ({"learning_rat": 1e-3}, "learning_rat"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_at_its_field(by_hand: dict[str, Any], field: str) -> None:
    with pytest.raises(StudioError) as refused:
        plan(facts(100), **by_hand)
    assert [each.field for each in refused.value.all()] == [field]


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(StudioError) as refused:
        plan(facts(100), learning_rate=0, batch_size=0)
    assert {each.field for each in refused.value.all()} == {"learning_rate", "batch_size"}


def test_a_preset_or_method_of_another_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(StudioError, match="Did you mean balanced"):
        plan(facts(100), preset="balance")
    with pytest.raises(StudioError, match="Did you mean lora"):
        method_named("lor")


def test_methods_say_why_they_cannot_be_used() -> None:
    chat, sort = task_named("chat"), task_named("classification")
    assert METHODS["full"].unavailable_reason(SMALL, chat, LAPTOP) == ""
    assert "LoRA needs far less" in METHODS["full"].unavailable_reason(LARGE, chat, LAPTOP)
    assert METHODS["lora"].unavailable_reason(LARGE, chat, LAPTOP) == ""
    assert "models that write text" in METHODS["qlora"].unavailable_reason(ENCODER, sort, LAPTOP)
    assert METHODS["qlora"].unavailable_reason(SMALL, chat, LAPTOP) == ""
    assert "multiple of 64" in METHODS["qlora"].unavailable_reason(
        SMALL.model_copy(update={"hidden": 80}), chat, LAPTOP
    )


def test_a_steady_rate_has_no_rise_and_says_of_none() -> None:
    made = plan(facts(400), scheduler="constant")
    assert made.config.warmup_share == 0 and not any("rate rises" in why for why in made.because)
    assert any(
        "Warm-up has no effect" in why for why in plan(facts(400), scheduler="constant", warmup_share=0.2).because
    )
    rising = plan(facts(400), scheduler="constant_with_warmup")
    assert rising.config.warmup_share == 0.05 and any("rate rises" in why for why in rising.because)


def test_labels_are_learned_with_a_little_doubt_and_scores_with_none() -> None:
    assert plan(facts(400, labels=3), ENCODER).config.label_smoothing == 0.1
    scores = make_plan(PlanRequest(task_named("classification"), ENCODER, "balanced", facts(400), LAPTOP), "full", {})
    assert scores.config.label_smoothing == 0 and not any("smoothing" in why for why in scores.because)


def test_an_encoder_with_little_data_is_told_of_what_may_help_and_none_of_it_is_set() -> None:
    made = plan(facts(100, labels=2), ENCODER)
    said = [why for why in made.because if why.startswith("Little data: with 100 rows")]
    assert len(said) == 1 and all(words in said[0] for words in ("head-only training", "decay to 0.9", "dropout"))
    assert (made.config.head_first, made.config.layer_decay, made.config.dropout) == (0, 1, None)
    few = facts(100, labels=2)
    others = [plan(facts(1000, labels=2), ENCODER), plan(facts(100), SMALL)]
    others += [plan(few, ENCODER, dropout=0.2), plan(few, ENCODER, method="lora")]
    assert not any("Little data" in why for each in others for why in each.because)


def test_an_estimate_follows_from_the_plan() -> None:
    rows = facts(400)
    made = plan(rows)
    found = estimate(made, SMALL, rows, LAPTOP)
    assert (found.steps, found.epochs, found.effective_batch_size) == (300, 3, 4)
    assert found.fits and 0 < found.memory_bytes < found.available_bytes == LAPTOP.memory_available
    assert 0 < found.trainable_parameters < 0.05 * found.total_parameters
    assert found.because == made.because
    assert estimate(plan(rows, epochs=6), SMALL, rows, LAPTOP).seconds > 1.8 * found.seconds
    assert estimate(plan(rows, machine=GPU), SMALL, rows, GPU).seconds < found.seconds


def test_an_estimate_says_when_it_does_not_fit() -> None:
    rows = facts(400, longest=1000)
    small = MachineFacts(2, 8 * GB, 4 * GB, GB, (), True)
    assert not estimate(plan(rows, LARGE, small), LARGE, rows, small).fits


def test_every_setting_of_a_plan_is_within_its_range() -> None:
    for count in (8, 50, 500, 20_000):
        for preset in PRESETS:
            for info, labels in ((SMALL, 0), (LARGE, 0), (ENCODER, 12), (SMALL, 3)):
                made = plan(facts(count, labels=labels), info, preset=preset)
                assert TrainingConfig.model_validate(made.config.model_dump()) == made.config


def test_short_texts_that_share_a_row_count_as_the_rows_that_they_fill() -> None:
    told = PlanFacts(1000, 800, 200, 0, (20,) * 50 + (100,) * 2, 1.0, 100)
    config = TrainingConfig(task="completion", model="starter-chat", max_length=64)
    packed = as_trained(told, config)
    assert packed.token_lengths.count(60) == 16 and sum(packed.token_lengths) == 50 * 20 + 2 * 100
    assert max(packed.token_lengths) <= 64 and packed.train_rows == round(800 * len(packed.token_lengths) / 52)
    again = as_trained(packed, config)
    assert again.train_rows == packed.train_rows and sorted(again.token_lengths) == sorted(packed.token_lengths)
    assert as_trained(told, config.model_copy(update={"task": "chat"})) == told
    steps = estimate(Plan(config=config, because=()), SMALL, told, LAPTOP).steps
    assert steps == total_steps(packed.train_rows, config) < total_steps(800, config)


@pytest.mark.parametrize("alone", [{"packing": False}, {"method": "prompt-tuning"}])
def test_long_texts_that_share_no_row_count_as_the_pieces_in_which_they_are_learned(alone: dict[str, Any]) -> None:
    told = PlanFacts(1000, 800, 200, 0, (20,) * 50 + (100, 129), 1.0, 129)
    config = TrainingConfig(task="completion", model="starter-chat", max_length=64).model_copy(update=alone)
    cut = as_trained(told, config)
    assert cut.token_lengths == [20] * 50 + [64, 36, 64, 64], "what is left of one token teaches nothing"
    assert (cut.train_rows, cut.longest) == (round(800 * 54 / 52), 64)
    assert as_trained(cut, config) == cut
    steps = estimate(Plan(config=config, because=()), SMALL, told, LAPTOP).steps
    assert steps == total_steps(cut.train_rows, config) > total_steps(800, config)


def test_a_check_that_comes_only_because_texts_are_learned_in_pieces_is_not_refused() -> None:
    rows = PlanFacts(110, 100, 10, 0, [640] * 110, 1.0, 640)
    by_hand = {"max_length": 64, "packing": False, "epochs": 1, "batch_size": 4, "eval_steps": 200}
    made = make_plan(PlanRequest(task_named("completion"), SMALL, "balanced", rows, LAPTOP), "lora", by_hand)
    assert made.config.eval_steps == 200 < estimate(made, SMALL, rows, LAPTOP).steps == 250
    with pytest.raises(StudioError, match="no validation"):
        make_plan(
            PlanRequest(task_named("chat"), SMALL, "balanced", rows, LAPTOP), "lora", {**by_hand, "packing": True}
        )


@pytest.mark.parametrize(
    ("info", "words"),
    [(ENCODER, "longer texts are split into pieces, and none is truncated"), (SMALL, "will be truncated")],
)
def test_only_a_model_that_points_at_answers_reads_a_long_passage_in_pieces(info: ModelInfo, words: str) -> None:
    rows = PlanFacts(440, 400, 40, 0, [90] * 99 + [5000], 0.1, 5000)
    made = make_plan(PlanRequest(task_named("question-answering"), info, "balanced", rows, LAPTOP), "lora", {})
    assert any(words in reason for reason in made.because)
