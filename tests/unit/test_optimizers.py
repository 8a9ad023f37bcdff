"""Optimizers and groups of weights: those that can't run here say why; rates by layer and by side."""

import io
from collections.abc import Callable
from typing import Any, get_args

import pytest
import torch
from transformers.training_args import OptimizerNames

from studio.data.samples import sample_path
from studio.machine.facts import machine_facts
from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.tasks import task_named
from studio.training.optimizers import MODULES, OPTIMIZERS, make_optimizer
from studio.training.optimizers.param_groups import parameter_groups, rate_factor
from studio.training.planning.presets import PlanFacts, PlanRequest, make_plan
from studio.training.planning.setting_checks import check_settings
from tests.model_facts import GPU, LAPTOP, SMALL

ROWS = PlanFacts(400, 340, 40, 0, [90] * 9, 0.5, 180)
RUN_HERE = [name for name, each in OPTIMIZERS.items() if not each.unavailable_reason(LAPTOP)]


def config(**values: Any) -> TrainingConfig:
    return TrainingConfig(task="chat", model="m", **values)


def test_the_setting_offers_what_the_registry_has() -> None:
    assert get_args(TrainingConfig.model_fields["optimizer"].annotation) == tuple(
        name for name in get_args(TrainingConfig.model_fields["optimizer"].annotation) if name in OPTIMIZERS
    )
    assert set(get_args(TrainingConfig.model_fields["optimizer"].annotation)) == set(OPTIMIZERS)


def moved(weight: torch.nn.Parameter, optimizer: Any, steps: int) -> None:
    """Steps as the library's trainer makes them, towards zero."""
    for _ in range(steps):
        if hasattr(optimizer, "train"):
            optimizer.train()
        optimizer.zero_grad()
        weight.pow(2).mean().mul(100).backward()
        optimizer.step()


def test_each_is_one_that_transformers_offers_by_another_name() -> None:
    names = [each.library for each in OPTIMIZERS.values()]
    assert set(names) <= {each.value for each in OptimizerNames} and len(set(names)) == len(names)


@pytest.mark.parametrize("name", RUN_HERE)
def test_each_that_runs_here_lowers_a_loss(name: str) -> None:
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(80, 64))
    before = float(weight.detach().pow(2).mean())
    moved(weight, make_optimizer(name, [{"params": [weight]}], 1e-2, 0.0), 5)
    assert float(weight.detach().pow(2).mean()) < before


@pytest.mark.parametrize("name", RUN_HERE)
def test_each_keeps_as_many_bytes_a_weight_as_the_memory_estimate_takes_it_to(name: str) -> None:
    weight = torch.nn.Parameter(torch.randn(512, 512))
    made = make_optimizer(name, [{"params": [weight]}], 1e-3, 0.0)
    moved(weight, made, 1)
    kept = sum(value.nbytes for value in made.state[weight].values() if isinstance(value, torch.Tensor))
    told = OPTIMIZERS[name].state_bytes
    # Adafactor's by far largest part is of weights in one row, and is told a little too high
    assert kept / weight.numel() == pytest.approx(told, abs=0.5 if name == "adafactor" else 0.06)


@pytest.mark.parametrize("name", RUN_HERE)
def test_each_goes_on_from_its_saved_state_as_if_it_had_never_stopped(name: str) -> None:
    torch.manual_seed(0)
    whole = torch.nn.Parameter(torch.randn(80, 64))
    first = make_optimizer(name, [{"params": [whole]}], 1e-2, 0.01)
    moved(whole, first, 3)
    kept, resumed = io.BytesIO(), torch.nn.Parameter(whole.detach().clone())
    torch.save(first.state_dict(), kept)
    again = make_optimizer(name, [{"params": [resumed]}], 1e-2, 0.01)
    kept.seek(0)
    again.load_state_dict(torch.load(kept, weights_only=True))
    moved(whole, first, 3)
    moved(resumed, again, 3)
    assert torch.equal(resumed, whole)
    fresh = torch.nn.Parameter(whole.detach().clone())
    moved(fresh, make_optimizer(name, [{"params": [fresh]}], 1e-2, 0.01), 3)
    moved(resumed, again, 3)
    assert not torch.equal(resumed, fresh), "the state makes a difference"


@pytest.mark.parametrize(
    "name", [name for name, each in OPTIMIZERS.items() if each.unavailable_reason(machine_facts())]
)
def test_one_that_can_not_run_is_refused_in_words_where_a_training_is_started(
    name: str, call: Callable[..., tuple[int, Any, str]]
) -> None:
    rows = sample_path("support-tone")
    status, _, said = call("train", rows, "--model", "starter-chat", "--optimizer", name)
    assert status == 2 and OPTIMIZERS[name].unavailable_reason(machine_facts()) in said and "adamw, adafactor" in said


@pytest.mark.parametrize("name", [name for name, each in OPTIMIZERS.items() if each.package])
def test_one_whose_library_is_missing_says_which_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = OPTIMIZERS[name].package
    monkeypatch.setitem(MODULES, package, "there_is_no_such_module")
    why = OPTIMIZERS[name].unavailable_reason(GPU)
    assert why.startswith(f"The optimizer {name} ") and why.endswith(f"pip install {package}")


def test_those_that_page_are_the_same_as_those_that_do_not_but_for_a_gpu() -> None:
    paged = {name: each for name, each in OPTIMIZERS.items() if each.paged}
    assert set(paged) == {name for name in OPTIMIZERS if name.startswith("paged-")}
    for name, each in paged.items():
        plain = OPTIMIZERS[name.removeprefix("paged-")]
        assert each.state_bytes == plain.state_bytes and not each.unavailable_reason(GPU)
        made = make_optimizer(name, [{"params": [torch.nn.Parameter(torch.zeros(2, 2))]}], 1e-3, 0.0)
        assert made.is_paged and (made.args.optim_bits == 8) == name.endswith("8bit")


def test_those_that_page_say_why_they_do_not_run_without_a_gpu() -> None:
    with pytest.raises(StudioError, match="has no GPU") as refused:
        check_settings(SMALL, LAPTOP, {"task": "chat", "model": "m", "optimizer": "paged-adamw-8bit"})
    assert refused.value.field == "optimizer"
    check_settings(SMALL, GPU, {"task": "chat", "model": "m", "optimizer": "paged-adamw-8bit"})


def test_weights_are_exact_where_the_optimizer_keeps_no_copies() -> None:
    made = make_plan(
        PlanRequest(task_named("chat"), SMALL, "balanced", ROWS, LAPTOP), "full", {"optimizer": "adafactor"}
    )
    assert made.config.precision == "float32"
    with pytest.raises(StudioError, match="keeps no float32 copies") as refused:
        check_settings(
            SMALL,
            LAPTOP,
            {"task": "chat", "model": "m", "method": "full", "optimizer": "adafactor", "precision": "bfloat16"},
        )
    assert refused.value.field == "precision"


def test_lower_layers_move_less_and_the_second_side_of_an_adapter_more() -> None:
    slow = config(layer_decay=0.5)
    shares = [rate_factor(f"model.layers.{layer}.mlp.weight", slow, 3) for layer in range(3)]
    assert shares == [0.25, 0.5, 1.0]
    assert rate_factor("model.embed_tokens.weight", slow, 3) == 0.125
    assert rate_factor("classifier.weight", slow, 3) == 1.0
    plus = config(loraplus_ratio=16)
    assert rate_factor("layers.0.q_proj.lora_B.default.weight", plus, 0) == 16
    assert rate_factor("layers.0.q_proj.lora_A.default.weight", plus, 0) == 1


def test_the_first_group_learns_at_the_rate_that_was_set() -> None:
    class Tiny(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList([torch.nn.Linear(2, 2) for _ in range(3)])

    model = Tiny()
    names = {name for name, _ in model.named_parameters() if name.endswith("weight")}
    groups = parameter_groups(model, config(layer_decay=0.5, learning_rate=0.01, method="full"), names)
    assert [group["lr"] for group in groups] == [0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025]
    assert [group.get("weight_decay") for group in groups] == [None, 0.0] * 3


@pytest.mark.parametrize(
    ("method", "by_hand", "word"),
    [
        ("full", {"lora_rank": 4}, "Rank has no effect with Full."),
        ("lora", {"layer_decay": 0.9}, "has no effect with LoRA."),
        ("lora", {"label_smoothing": 0.1}, "has no effect for this task."),
    ],
)
def test_a_setting_without_effect_is_said(method: str, by_hand: dict[str, Any], word: str) -> None:
    made = make_plan(PlanRequest(task_named("chat"), SMALL, "balanced", ROWS, LAPTOP), method, by_hand)
    assert any(word in reason for reason in made.because)


def test_all_that_rows_can_not_fulfil_is_told_at_once() -> None:
    few = PlanFacts(20, 16, 4, 0, [90] * 9, 0.5, 180)
    with pytest.raises(StudioError) as refused:
        make_plan(
            PlanRequest(task_named("chat"), SMALL, "balanced", few, LAPTOP),
            "lora",
            {"batch_size": 64, "eval_steps": 5000},
        )
    assert {each.field for each in refused.value.all()} == {"batch_size", "eval_steps"}
