"""Make it fit: the least harmful change first, each said; and a refusal when nothing helps."""

from dataclasses import replace
from typing import Any

import pytest

from studio.machine.deepspeed import why_no_deepspeed
from studio.machine.facts import Gpu, MachineFacts
from studio.schema.errors import StudioError
from studio.schema.models import Estimate, ModelInfo
from studio.schema.runs import RunSpec
from studio.tasks import task_named
from studio.training.loop.oom_retry import with_half_batch
from studio.training.planning.estimate import estimate
from studio.training.planning.memory_budget import MAX_MEMORY_SHARE, memory_budget
from studio.training.planning.memory_fit import fit
from studio.training.planning.plan_builder import PlanRequest
from studio.training.planning.plan_facts import PlanFacts, memory_of
from studio.training.planning.presets import make_plan

GB = 2**30
LARGE = ModelInfo(
    name="a/b",
    title="Large 1B",
    source="hub",
    kind="causal",
    parameters=10**9,
    context=8192,
    layers=24,
    hidden=2048,
    intermediate=5504,
    vocabulary=32_000,
)


def asked(free: float, longest: int = 1000, info: ModelInfo = LARGE) -> PlanRequest:
    machine = MachineFacts(4, 64 * GB, round(free * GB), 50 * GB, (), True)
    rows = PlanFacts(400, 340, 40, 0, [longest // 2] * 50 + [longest] * 50, 0.5, longest)
    return PlanRequest(task_named("chat"), info, "balanced", rows, machine)


def test_what_fits_is_left_as_it_is() -> None:
    assert fit(asked(40), "lora", {"epochs": 2}) == ("lora", {"epochs": 2}, [])


def test_rows_at_once_go_first_since_the_same_is_learned() -> None:
    place = asked(9)
    method, settings, changes = fit(place, "lora", {"batch_size": 32, "gradient_accumulation": 1})
    assert method == "lora"
    assert settings["batch_size"] * settings["gradient_accumulation"] == 32 and settings["batch_size"] < 32
    assert "instead of 32, with gradient accumulation" in changes[0].sentence
    plan = make_plan(place, method, settings)
    assert memory_of(plan.config, place.info, place.facts, place.machine) <= memory_budget(place.machine)


def test_the_less_memory_the_more_harm_and_always_in_this_order() -> None:
    """Full training of a billion weights, in less and less memory."""
    words = ("Batch size", "Gradient checkpointing", "Adafactor", "LoRA instead", "4 bits", "Maximum length")
    seen: list[list[str]] = []
    for free in (30, 14, 8, 5.5, 2.6):
        _, _, changes = fit(asked(free), "full", {"batch_size": 8})
        kinds = [next(word for word in words if word in change.sentence) for change in changes]
        assert [words.index(kind) for kind in kinds] == sorted(words.index(kind) for kind in kinds)
        seen.append(kinds)
    assert [len(set(kinds)) for kinds in seen] == sorted(len(set(kinds)) for kinds in seen)
    assert "LoRA instead" in seen[-1]


@pytest.mark.skipif(bool(why_no_deepspeed()), reason="DeepSpeed is not here")
def test_on_gpus_more_is_shared_out_before_less_is_learned_and_nothing_that_zero_can_t_take_is_tried() -> None:
    gpus = (Gpu("G", 24 * GB, 24 * GB),) * 2
    few = {"processes": 2, "zero": 1, "precision": "float32", "batch_size": 1}
    for free, wanted in (
        (14.5, "ZeRO-2 instead of ZeRO-1: each process holds a part of the optimizer state and the gradients"),
        (10, "ZeRO-3 instead"),
        (5, "offloaded to the machine's memory"),
        (3, "LoRA instead"),
    ):
        place = asked(40)
        narrow = tuple(replace(gpu, memory_available=round(free * GB / MAX_MEMORY_SHARE)) for gpu in gpus)
        place = replace(place, machine=replace(place.machine, gpus=narrow))
        method, settings, changes = fit(place, "full", few)
        said = [change.sentence for change in changes]
        assert any(wanted in words for words in said), (free, said)
        assert settings["processes"] == 2 and settings.get("optimizer", "adamw") == "adamw"
        plan = make_plan(place, method, settings)
        assert memory_of(plan.config, place.info, place.facts, place.machine) <= memory_budget(place.machine)


@pytest.mark.skipif(bool(why_no_deepspeed()), reason="DeepSpeed is not here")
def test_the_machine_s_memory_is_filled_only_by_several_gpus_and_only_where_it_has_room() -> None:
    tight = (Gpu("G", 8 * GB, round(5 * GB / MAX_MEMORY_SHARE)),) * 2
    shared = {"processes": 2, "zero": 3, "precision": "float32", "batch_size": 1}

    def said(free: float, gpus: tuple[Gpu, ...], settings: dict[str, Any]) -> str:
        place = asked(free)
        place = replace(place, machine=replace(place.machine, gpus=gpus))
        return " ".join(change.sentence for change in fit(place, "full", settings)[2])

    assert "offloaded to the machine's memory" in said(40, tight, shared)
    assert "offloaded to the machine's memory" not in said(10, tight, shared), "where there is no room for it either"
    assert "offloaded to the machine's memory" not in said(40, tight[:1], {"precision": "float32", "batch_size": 1})


@pytest.mark.skipif(bool(why_no_deepspeed()), reason="DeepSpeed is not here")
def test_what_is_held_beside_gpus_must_fit_the_machine_s_own_memory_and_the_short_one_is_named() -> None:
    shared = {"processes": 2, "zero": 3, "precision": "float32", "batch_size": 1, "offload": "cpu"}

    def on(free: float, of_gpu: float) -> PlanRequest:
        place = asked(free)
        return replace(place, machine=replace(place.machine, gpus=(Gpu("G", 80 * GB, round(of_gpu * GB)),) * 2))

    def told(free: float, of_gpu: float) -> Estimate:
        place = on(free, of_gpu)
        return estimate(make_plan(place, "full", shared), place.info, place.facts, place.machine)

    both, machine, gpu, none = told(60, 40), told(10, 40), told(60, 1), told(10, 1)
    assert both.fits and not both.short and both.beside_bytes > 10 * GB
    assert not machine.fits and machine.short.startswith("The machine's memory is too small for the data")
    assert "10.0 GB are free" in machine.short
    assert not gpu.fits and gpu.short.startswith("The GPU's memory is too small") and "machine's" not in gpu.short
    assert not none.fits and "GPU's memory is too small" in none.short and "machine's memory is too small" in none.short
    assert fit(on(60, 40), "full", shared)[1]["offload"] == "cpu"
    _, settings, changes = fit(on(10, 40), "full", shared)
    assert settings["offload"] == "none" and "too small for it" in changes[0].sentence


def test_a_rate_set_for_all_weights_is_not_kept_for_an_adapter() -> None:
    method, settings, _ = fit(asked(8), "full", {"learning_rate": 2e-5, "epochs": 2})
    assert method in ("lora", "qlora")
    assert settings["epochs"] == 2 and "learning_rate" not in settings


def test_rows_are_cut_last_and_it_is_said_how_many() -> None:
    place = asked(2.7, longest=8000)
    _, settings, changes = fit(place, "lora", {"max_length": 8000})
    assert settings["max_length"] < 8000
    assert "of the rows are truncated" in changes[-1].sentence


def test_a_model_that_never_fits_is_refused_with_what_it_needs_at_the_least() -> None:
    huge = LARGE.model_copy(update={"parameters": 70 * 10**9, "layers": 80, "hidden": 8192})
    with pytest.raises(StudioError, match="with any settings") as refused:
        fit(asked(6, info=huge), "lora", {})
    assert refused.value.code == "does-not-fit" and "at least" in refused.value.message


def spec(**values: Any) -> RunSpec:
    from studio.schema.config import TrainingConfig
    from studio.schema.dataset import DatasetSpec, SplitSpec

    config = TrainingConfig(task="chat", model="m", **values)
    return RunSpec(
        config=config, dataset="d", dataset_version=1, data=DatasetSpec(task="chat", roles={}), splits=SplitSpec()
    )


def test_a_run_out_of_memory_is_tried_at_half_the_batch_once() -> None:
    again = with_half_batch(spec(batch_size=4, gradient_accumulation=2))
    assert again is not None
    assert (again.config.batch_size, again.config.gradient_accumulation, again.tried_again) == (2, 4, True)
    assert "tried once more with 2" in again.because[-1]
    assert with_half_batch(again) is None
    assert with_half_batch(spec(batch_size=1)) is None


@pytest.mark.parametrize(("size", "smaller"), [(2, 1), (3, 1), (6, 3), (9, 3), (10, 5), (17, 1), (64, 32)])
def test_after_out_of_memory_a_step_has_as_many_rows_as_before(size: int, smaller: int) -> None:
    before = spec(batch_size=size, gradient_accumulation=3)
    again = with_half_batch(before)
    assert again is not None and again.config.batch_size == smaller
    assert again.config.rows_a_step == before.config.rows_a_step
    assert f"with {smaller} and {size // smaller} times the gradient accumulation" in again.because[-1]


def test_make_it_fit_keeps_the_rows_of_a_step_also_of_an_odd_batch_size() -> None:
    _, settings, changes = fit(asked(9), "lora", {"batch_size": 27, "gradient_accumulation": 1})
    assert settings["batch_size"] * settings["gradient_accumulation"] == 27
    assert "Batch size 9 instead of 27, with gradient accumulation 3" in changes[0].sentence
