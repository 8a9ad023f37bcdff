"""All that is wrong with a run is told in one answer, and what depends on another only when that one is right."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from studio.api import Studio
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo
from studio.schema.requests import RunRequest
from studio.schema.settings_check import sifted
from studio.tasks import TASKS, task_named
from studio.training.methods import METHODS
from studio.training.planning.presets import KnownParts, PlanFacts, plan_problems
from tests.hubserver import tiny_folder
from tests.model_facts import MACHINE, MODEL
from tests.said import Call, caller

ROWS = "text,label\n" + "".join(f"This is text number {n},{('good', 'bad')[n % 2]}\n" for n in range(40))
COUNTED = PlanFacts(400, 340, 40, 0, [], 0.6, 0)
WRONG: dict[str, tuple[Any, str]] = {
    "lerning_rat": (1, "There is no setting lerning_rat."),
    "learning_rate": (0, "The setting learning rate can't have this value."),
    "virtual_tokens": (4000, "The virtual tokens leave too little"),
    "zero": (1, "ZeRO shards a run over several processes, but this run has only one."),
    "batch_size": (512, "The batch size is larger than the number of training rows."),
    "eval_steps": (50_000, "There would be no validation"),
    "threads": (1000, "This machine has fewer cores"),
}
"""Setting → a value that can't be, and what is said of it."""


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    monkeypatch.setenv("STUDIO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = Studio(tmp_path / "home")
    yield made
    assert made.runs.all() == []
    made.close()


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    return caller(capfd)


def test_ten_wrong_things_of_one_command_are_told_in_one_answer(studio: Studio, call: Call, tmp_path: Path) -> None:
    data, model = tmp_path / "rows.csv", tiny_folder(tmp_path / "tiny")
    data.write_text(ROWS)
    config = tmp_path / "settings.yaml"
    config.write_text("lerning_rat: 1\nlearning_rate: 0\n")
    flags = [
        text
        for name, (value, _) in WRONG.items()
        if not name.startswith("l")
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    said = call(
        "train",
        data,
        "--model",
        model,
        "--task",
        "classification",
        "--method",
        "prompt-tuning",
        "--seed",
        "many",
        "--config",
        config,
        "--validation",
        tmp_path / "none.csv",
        "--detach",
        *flags,
    )
    assert said.status == 2 and not said.out
    words = [told for _, told in WRONG.values()]
    for each in (*words, "is for models that write text", "The setting seed can't have this value.", "none.csv"):
        assert said.err.count(each) == 1, (each, said.err)


def test_the_same_is_told_in_one_answer_to_the_page_which_asks_for_a_plan(studio: Studio, tmp_path: Path) -> None:
    data, model = studio.datasets.add_text(ROWS, "rows").id, str(tiny_folder(tmp_path / "tiny"))
    settings = {name: value for name, (value, _) in WRONG.items()}
    for ask in (studio.planning.plan, studio.planning.fit, studio.runs.start, studio.planning.probe):
        with pytest.raises(StudioError) as caught:
            ask(RunRequest(dataset=data, model=model, task="classification", method="prompt-tuning", settings=settings))
        assert sorted(each.field for each in caught.value.all()) == sorted([*WRONG, "method"])


def test_without_a_model_or_rows_that_can_be_read_all_else_is_told_with_them(call: Call, studio: Studio) -> None:
    flags = ("--learning-rate", "0", "--zero", "1", "--method", "lorra", "--task", "chatt", "--map", "a", "--detach")
    said = call("train", "none.csv", *flags)
    assert said.status == 2
    names = ("no method lorra", "no task chatt", "Given: a\n")
    for words in ("No base model was given.", "none.csv", "learning rate", "only one", *names):
        assert said.err.count(words) == 1, (words, said.err)
    flags = ("--model", "no/such", "--learning-rate", "0", "--epochs", "few", "--preset", "quik")
    said = call("estimate", "none.csv", *flags)
    for words in ("no/such", "none.csv", "learning rate", "epochs", "no preset quik"):
        assert words in said.err, (words, said.err)
    assert "fewer rows" not in said.err, "nothing is known of the rows"


def test_a_model_that_is_not_there_hides_nothing_that_is_wrong_with_rows_and_settings(studio: Studio) -> None:
    data = studio.datasets.add_text("text,label\n" + "a,b\n" * 12, "rows").id
    settings = {"epochs": 0, "group_column": "customer", "start_from": "r-none"}
    with pytest.raises(StudioError) as caught:
        studio.runs.start(RunRequest(dataset=data, model="./no-such-folder", task="classification", settings=settings))
    told = {(each.code, each.field) for each in caught.value.all()}
    assert ("bad-setting", "epochs") in told and ("bad-setting", "group_column") in told
    assert {"too-few-rows", "no-such-run"} <= {code for code, _ in told} and len(told) == 5


def test_a_rule_across_settings_is_told_beside_a_setting_that_is_wrong_by_itself() -> None:
    values = {"task": "chat", "model": "m", "validation-share": 0.5, "test_share": 0.4, "epochs": 0, "banana": 1}
    config, kept, problems = sifted(values)
    assert [each.field for each in problems] == ["banana", "epochs", "validation_share"]
    assert kept == {"task": "chat", "model": "m"} and config.epochs == 3


def told(
    task: str = "chat", info: ModelInfo | None = MODEL, facts: PlanFacts | None = COUNTED, **asked: Any
) -> set[str]:
    """The settings that something is said of."""
    head = {"task": task, "model": "m", "method": "lora", "preset": "balanced"}
    return {each.field for each in plan_problems(KnownParts(task_named(task), info, facts, MACHINE), head | asked)}


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"gradient_accumulation": 0},
        {"processes": 100},
        {"max_steps": -1},
        {"preset": "quik"},
        {"method": "lorra"},
    ],
)
def test_whether_a_check_comes_in_time_is_told_only_when_the_steps_are_known(wrong: dict[str, Any]) -> None:
    assert told(eval_steps=50_000) == {"eval_steps"}
    assert told(eval_steps=50_000, **wrong) == set(wrong)


def test_rows_that_share_a_row_are_compared_with_a_batch_only_when_their_tokens_are_counted() -> None:
    assert told("completion", batch_size=512) == set()
    assert told("completion", facts=replace(COUNTED, token_lengths=[100] * 340, longest=100), batch_size=512) == {
        "batch_size"
    }


def test_a_model_that_can_t_do_the_task_leaves_open_how_many_steps_there_are_but_not_how_many_rows() -> None:
    encoder = MODEL.model_copy(update={"kind": "encoder", "architecture": "BertForMaskedLM"})
    assert told("chat", encoder, batch_size=512, eval_steps=50_000) == {"batch_size"}
    assert told("chat", None, batch_size=512, lora_rank=1024) == {"batch_size"}, "which layers it has is not known"
    assert told("chat", MODEL, batch_size=512, lora_rank=1024) == {"batch_size", "lora_rank"}
    assert told("chat", MODEL, None, batch_size=512, lora_rank=1024) == {"lora_rank"}
    assert "lora_rank" not in told(method="lorra", lora_rank=1024), "the method that stands in is not asked"


def test_whatever_task_model_and_method_are_put_together_what_is_wrong_can_be_told() -> None:
    for task, kind, method in product(TASKS, ("causal", "encoder", "seq2seq"), METHODS):
        info = MODEL.model_copy(update={"kind": kind})
        METHODS[method].unavailable_reason(info, task_named(task), MACHINE)
        assert told(task, info, method=method, epochs=0) == {"epochs"}, (task, kind, method)
