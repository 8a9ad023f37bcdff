"""What each method says before anything is loaded: when it can't be used, its settings, and how much learns."""

import inspect

import pytest

from studio.machine.deepspeed import why_no_deepspeed
from studio.machine.facts import Gpu, MachineFacts
from studio.models import find_model
from studio.schema import config
from studio.schema.config import DEFAULT_METHOD, TrainingConfig, settings_of
from studio.schema.errors import StudioError
from studio.schema.fields import about
from studio.schema.models import ModelInfo
from studio.tasks import TASKS, task_named
from studio.training.methods import METHODS, method_named
from studio.training.methods.base import Method
from studio.training.planning.presets import PlanFacts, PlanRequest, make_plan
from studio.training.planning.setting_checks import check_settings
from tests.model_facts import GB, LAPTOP, SMALL

ENCODER = SMALL.model_copy(update={"kind": "encoder", "parameters": 22_713_216, "layers": 6})
T5 = SMALL.model_copy(update={"kind": "seq2seq"})
MOE = SMALL.model_copy(update={"architecture": "Qwen3MoeForCausalLM"})
CHAT, SORT = task_named("chat"), task_named("classification")


def with_(method: str, **values: object) -> TrainingConfig:
    return TrainingConfig(task="chat", model="m", method=method, **values)  # type: ignore[arg-type]


def test_methods_and_tasks_name_the_settings_that_only_some_use() -> None:
    asked = {name for name in settings_of() if about(TrainingConfig, name).by_method}  # type: ignore[union-attr]
    assert {name for method in METHODS.values() for name in method.settings} == asked
    asked = {name for name in settings_of() if about(TrainingConfig, name).by_task}  # type: ignore[union-attr]
    assert {name for task in TASKS.values() for name in task.settings} == asked
    assert {method.lighter for method in METHODS.values()} <= {"", *METHODS}
    assert {method.combines_as for method in METHODS.values()} <= {"", *METHODS}
    for method in METHODS.values():
        assert set(method.shape) <= set(method.settings)
        assert method.trains_base_weights == (method.result == "model")
        assert ("lora_rank" in method.settings) == method.has_rank
        assert ("virtual_tokens" in method.settings) == method.learns_virtual_tokens
    assert DEFAULT_METHOD in METHODS


def test_the_schema_names_no_method_and_no_task() -> None:
    source = inspect.getsource(config)
    for name in (*METHODS, *TASKS):
        assert source.count(f'"{name}"') == (name == DEFAULT_METHOD)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_each_says_how_it_learns_and_is_planned_for_the_starter(method: Method) -> None:
    found = METHODS[method.name]
    assert found.sentence.endswith(".") and "Choose it " in found.sentence, "how it trains, and when to choose it"
    assert found.term and found.result in ("adapter", "model")
    assert found.unavailable_reason(SMALL, CHAT, LAPTOP) == ""
    rows = PlanFacts(400, 340, 40, 0, [90] * 9, 0.5, 180)
    made = make_plan(PlanRequest(CHAT, SMALL, "balanced", rows, LAPTOP), found.name, {})
    assert made.config.method == found.name
    assert 0 < found.learned(SMALL, made.config, 0) <= SMALL.parameters
    assert 0 < found.depth(SMALL, made.config) <= 1


@pytest.mark.parametrize(
    ("name", "info", "task", "word"),
    [
        ("prompt-tuning", ENCODER, "classification", "models that write text"),
        ("prefix-tuning", SMALL, "classification", "models that write text"),
        ("prompt-tuning", T5, "chat", "decoder models"),
        ("prompt-tuning", SMALL, "preference", "not preferences"),
        ("last-layers", T5, "chat", "no single stack"),
        ("qlora", MOE, "chat", "experts are stored in one tensor"),
    ],
)
def test_a_method_says_why_it_cannot_be_used(name: str, info: ModelInfo, task: str, word: str) -> None:
    assert word in METHODS[name].unavailable_reason(info, task_named(task), LAPTOP)


def test_the_last_layer_of_a_huge_model_may_be_too_much() -> None:
    huge = SMALL.model_copy(update={"parameters": 400 * 10**9, "layers": 10})
    assert "The last layer alone" in METHODS["last-layers"].unavailable_reason(huge, CHAT, LAPTOP)
    assert METHODS["last-layers"].unavailable_reason(huge.model_copy(update={"layers": 200}), CHAT, LAPTOP) == ""


def refused(billions: float, gpus: int) -> str:
    """Why so large a model can't learn whole on a machine of 24 GB and so many GPUs of 24 GB each."""
    machine = MachineFacts(2, 24 * GB, 20 * GB, 50 * GB, (Gpu("G", 24 * GB, 23 * GB),) * gpus, True)
    return METHODS["full"].unavailable_reason(
        SMALL.model_copy(update={"parameters": round(billions * 1e9)}), CHAT, machine
    )


@pytest.mark.parametrize("gpus", [0, 1])
def test_a_whole_model_is_refused_only_where_the_lightest_optimizer_can_t_hold_it(gpus: int) -> None:
    assert refused(2.9, gpus) == "", "with AdamW it needs 46 GB, with Adafactor 25"
    assert "at least 25 GB" in refused(3.1, gpus)
    assert ("the GPU has 24 GB" if gpus else "this machine has 24 GB") in refused(3.1, gpus)


@pytest.mark.skipif(bool(why_no_deepspeed()), reason="DeepSpeed is not here")
def test_several_gpus_are_reckoned_together_and_with_the_memory_that_they_may_fill() -> None:
    assert refused(4.5, 2) == ""
    assert "at least 75 GB" in refused(5, 2)
    assert "the 2 GPUs and the machine's own memory together have 72 GB" in refused(5, 2)
    assert refused(5, 4) == ""


@pytest.mark.parametrize(
    ("method", "values", "field"),
    [
        ("lora", {"lora_rank": 800}, "lora_rank"),
        ("dora", {"lora_rank": 577}, "lora_rank"),
        ("prompt-tuning", {"virtual_tokens": 4096, "max_length": 5000}, "max_length"),
        ("prefix-tuning", {"gradient_checkpointing": True}, "gradient_checkpointing"),
        ("last-layers", {"last_layers": 31}, "last_layers"),
    ],
)
def test_a_setting_at_odds_with_the_method_is_refused_at_its_field(
    method: str, values: dict[str, object], field: str
) -> None:
    with pytest.raises(StudioError) as refused:
        check_settings(SMALL, LAPTOP, {"task": "chat", "model": "m", "method": method, **values})
    assert [each.field for each in refused.value.all()] == [field]


def test_more_virtual_tokens_than_the_model_can_read_are_refused() -> None:
    short = SMALL.model_copy(update={"context": 256})
    with pytest.raises(StudioError, match="too little of the context length for the text") as refused:
        check_settings(short, LAPTOP, {"task": "chat", "model": "m", "method": "prompt-tuning", "virtual_tokens": 300})
    assert refused.value.field == "virtual_tokens"


def test_a_value_out_of_range_hides_no_other_problem() -> None:
    values = {
        "method": "prefix-tuning",
        "learning_rate": 7,
        "gradient_checkpointing": True,
        "banana": 1,
        "optimizer": "paged-adamw",
    }
    with pytest.raises(StudioError) as refused:
        check_settings(SMALL, LAPTOP, {"task": "chat", "model": "m", **values})
    fields = {each.field for each in refused.value.all()}
    assert fields == {"learning_rate", "gradient_checkpointing", "banana", "optimizer"}


def test_virtual_tokens_are_taken_off_the_longest_row() -> None:
    short = SMALL.model_copy(update={"context": 256})
    rows = PlanFacts(400, 340, 40, 0, [200] * 9, 0.5, 400)
    made = make_plan(PlanRequest(CHAT, short, "balanced", rows, LAPTOP), "prefix-tuning", {})
    assert made.config.max_length + made.config.virtual_tokens <= 256


def test_parameters_that_learn_are_counted_for_every_method() -> None:
    starter = find_model("starter-chat")
    table = starter.vocabulary * starter.hidden
    assert METHODS["dora"].learned(starter, with_("dora"), 0) == 2_597_760
    assert METHODS["ia3"].learned(starter, with_("ia3"), 0) == 57_600
    assert METHODS["lora-embeddings"].learned(starter, with_("lora-embeddings"), 0) == 2_442_240 + table
    assert METHODS["prompt-tuning"].learned(starter, with_("prompt-tuning", virtual_tokens=8), 0) == 4_608
    assert METHODS["prefix-tuning"].learned(starter, with_("prefix-tuning", virtual_tokens=8), 0) == 92_160
    four = METHODS["last-layers"].learned(starter, with_("last-layers", last_layers=4), 0)
    assert four == 4 * (starter.parameters - table - 576) // 30 + 576
    frozen = method_named("lora").learned(starter, with_("lora", frozen_layers=15), 0)
    assert frozen == 2_442_240 // 2
