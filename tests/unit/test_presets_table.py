"""What the presets work out, case by case: method, rows and machine in, settings and their reasons out."""

from typing import Any

import pytest

from studio.machine.facts import MachineFacts
from studio.schema.config import Plan
from studio.schema.models import ModelInfo
from studio.tasks import task_named
from studio.training.methods import METHODS
from studio.training.planning.plan_facts import PlanFacts
from studio.training.planning.presets import PRESETS, PlanRequest, make_plan
from tests.model_facts import ENCODER, GPU, LAPTOP, LARGE, SMALL

Case = tuple[ModelInfo, str, str, int, MachineFacts, dict[str, Any]]
CASES: list[Case] = [
    # model, method, preset, rows to learn from, machine → settings
    (SMALL, "lora", "quick", 400, LAPTOP, {"epochs": 1, "learning_rate": 5e-4, "lora_rank": 8, "batch_size": 4}),
    (SMALL, "lora", "balanced", 40, LAPTOP, {"epochs": 10, "lora_rank": 8, "lora_alpha": 16, "max_length": 192}),
    (SMALL, "lora", "balanced", 400, LAPTOP, {"epochs": 3, "warmup_share": 0.05, "scheduler": "cosine"}),
    (SMALL, "lora", "thorough", 400, LAPTOP, {"epochs": 6, "lora_rank": 16, "lora_alpha": 32}),
    (SMALL, "lora", "balanced", 12, LAPTOP, {"epochs": 10, "batch_size": 3}),
    (LARGE, "lora", "balanced", 20_000, GPU, {"epochs": 1, "learning_rate": 2e-4, "batch_size": 8}),
    (SMALL, "dora", "balanced", 400, LAPTOP, {"epochs": 3, "learning_rate": 5e-4, "lora_rank": 8}),
    (SMALL, "rslora", "balanced", 400, LAPTOP, {"epochs": 3, "lora_rank": 32, "lora_alpha": 11}),
    (SMALL, "rslora", "thorough", 400, LAPTOP, {"epochs": 6, "lora_rank": 64, "lora_alpha": 16}),
    (SMALL, "qlora", "balanced", 400, LAPTOP, {"learning_rate": 5e-4, "quantization": "4-bit"}),
    (SMALL, "lora-embeddings", "balanced", 400, LAPTOP, {"epochs": 3, "lora_rank": 8}),
    (SMALL, "ia3", "balanced", 400, LAPTOP, {"epochs": 4, "learning_rate": 1e-2}),
    (SMALL, "prompt-tuning", "balanced", 400, LAPTOP, {"epochs": 6, "learning_rate": 3e-2, "virtual_tokens": 16}),
    (LARGE, "prompt-tuning", "thorough", 400, GPU, {"epochs": 12, "learning_rate": 1e-2, "virtual_tokens": 32}),
    (SMALL, "prefix-tuning", "quick", 400, LAPTOP, {"epochs": 2, "virtual_tokens": 16}),
    (SMALL, "last-layers", "balanced", 400, LAPTOP, {"last_layers": 8, "learning_rate": 2e-4, "weight_decay": 0.01}),
    (SMALL, "last-layers", "thorough", 400, LAPTOP, {"last_layers": 15}),
    (SMALL, "full", "balanced", 400, LAPTOP, {"learning_rate": 5e-5, "weight_decay": 0.01, "epochs": 3}),
    (ENCODER, "full", "balanced", 400, LAPTOP, {"epochs": 6, "learning_rate": 2e-4, "batch_size": 16}),
    (ENCODER, "full", "balanced", 4000, LAPTOP, {"learning_rate": 1e-4, "precision": "float32"}),
    (ENCODER, "lora", "balanced", 400, LAPTOP, {"learning_rate": 5e-4, "scheduler": "linear", "warmup_share": 0.1}),
    (ENCODER, "last-layers", "balanced", 400, LAPTOP, {"last_layers": 2, "learning_rate": 5e-4}),
]
REASONS = {
    "epochs": "because there are",
    "learning_rate": "Learning rate ",
    "max_length": "Maximum length ",
    "batch_size": "Batch size ",
    "precision": "Precision ",
    "eval_steps": "Validation every",
    "warmup_share": "rises during",
    "eval_rows": "Validation uses",
}
"""Words of the sentence that says why."""


def plan(info: ModelInfo, method: str, preset: str, rows: int, machine: MachineFacts, **by_hand: Any) -> Plan:
    labels = 5 if info is ENCODER else 0
    facts = PlanFacts(rows + 60, rows, 60, labels, [90] * 99 + [180], 0.5, 180)
    task = task_named("classification" if labels else "chat")
    return make_plan(PlanRequest(task, info, preset, facts, machine), method, by_hand)


@pytest.mark.parametrize(
    ("rows", "labels", "passes", "why"),
    [
        (480, 2, 6, "480 training rows."),
        (480, 24, 12, "480 training rows, about 20 per label."),
        (480, 40, 20, "480 training rows, about 12 per label."),
        (300, 300, 20, "300 training rows, about 1 per label."),
        (15_000, 150, 3, "15,000 training rows, about 100 per label."),
        (15_000, 4, 2, "15,000 training rows."),
        (50, 3, 15, "50 training rows."),
    ],
)
def test_where_there_are_few_rows_of_each_label_there_are_more_passes(
    rows: int, labels: int, passes: int, why: str
) -> None:
    facts = PlanFacts(rows + 60, rows, 60, labels, [30] * 100, 1.0, 30)
    made = make_plan(PlanRequest(task_named("classification"), ENCODER, "balanced", facts, LAPTOP), "full", {})
    assert made.config.epochs == passes
    assert f"{passes} epochs, because there are {why}" in made.because


@pytest.mark.parametrize(
    ("info", "method", "preset", "rows", "machine", "wanted"),
    CASES,
    ids=[f"{case[0].name} {case[1]} {case[2]} {case[3]}" for case in CASES],
)
def test_the_table(
    info: ModelInfo, method: str, preset: str, rows: int, machine: MachineFacts, wanted: dict[str, Any]
) -> None:
    made = plan(info, method, preset, rows, machine)
    assert {name: getattr(made.config, name) for name in wanted} == wanted
    for name, words in REASONS.items():
        assert any(words in sentence for sentence in made.because), f"no reason for {name}"


def test_the_table_has_methods_that_there_are_and_every_preset() -> None:
    assert {case[1] for case in CASES} <= set(METHODS)
    assert {case[2] for case in CASES} == set(PRESETS)


@pytest.mark.parametrize("name", REASONS)
def test_what_was_set_by_hand_needs_no_reason(name: str) -> None:
    values = {
        "epochs": 2,
        "learning_rate": 1e-4,
        "max_length": 256,
        "batch_size": 2,
        "precision": "bfloat16",
        "eval_steps": 10,
        "eval_rows": 10,
        "warmup_share": 0.2,
    }
    made = plan(SMALL, "lora", "balanced", 400, LAPTOP, **{name: values[name]})
    assert not any(REASONS[name] in sentence for sentence in made.because)


@pytest.mark.parametrize(
    ("rows", "held", "words"),
    [
        (4000, 60, "Validation every 200 steps: 10 validations in the run show which checkpoint is the best."),
        (400, 60, "Validation every 30 steps: 10 validations in the run show which checkpoint is the best."),
        (40, 60, "Validation every 18 steps: more often would take too much of the run's time."),
    ],
)
def test_how_often_a_run_is_checked_is_said_with_the_reason(rows: int, held: int, words: str) -> None:
    facts = PlanFacts(rows + held, rows, held, 0, [90] * 99 + [180], 0.5, 180)
    made = make_plan(PlanRequest(task_named("chat"), SMALL, "balanced", facts, LAPTOP), "lora", {})
    assert words in made.because
    assert f"every {made.config.eval_steps} steps" in words


def test_that_the_best_step_is_kept_is_not_said_where_it_is_not() -> None:
    assert (
        "Validation uses 32 rows that are not trained on, and the best checkpoint is kept."
        in plan(SMALL, "lora", "balanced", 400, LAPTOP).because
    )
    last = plan(SMALL, "lora", "balanced", 400, LAPTOP, keep_best=False).because
    assert "Validation uses 32 rows that are not trained on." in last
