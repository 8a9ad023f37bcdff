"""The one list of settings: each is described, ranged, and refused in plain words."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from studio.schema.config import GROUPS, Plan, TrainingConfig, settings_of
from studio.schema.errors import StudioError
from studio.schema.fields import about
from studio.schema.models import ModelInfo
from studio.schema.requests import RunRequest
from studio.schema.settings_check import config_from, range_of

BASE = {"task": "chat", "model": "starter-chat"}
OUTSIDE: dict[str, list[Any]] = {
    "epochs": [0, -1, 1001],
    "max_steps": [-1, 1.5],
    "learning_rate": [0, 1e9, -1e-4],
    "batch_size": [0, 1025, "four"],
    "warmup_share": [1, -0.1],
    "max_length": [0, 15, 10**9],
    "lora_rank": [0, 2000],
    "seed": [-1, 2**31],
    "scheduler": ["zigzag"],
    "precision": ["int3"],
    "validation_share": [0.6, -0.1],
    "early_stopping_patience": [-1],
    "keep_best": ["perhaps"],
}


@pytest.mark.parametrize("name", settings_of())
def test_each_setting_says_all_that_a_form_needs(name: str) -> None:
    field, words = TrainingConfig.model_fields[name], about(TrainingConfig, name)
    assert words is not None
    assert words.group in GROUPS
    assert words.level in ("basic", "expert")
    assert words.label[0].isupper()
    assert field.description
    assert field.description.rstrip().endswith(".")
    assert range_of(name)


def test_every_group_has_a_setting_and_a_few_are_shown_first() -> None:
    described = [about(TrainingConfig, name) for name in settings_of()]
    assert {words.group for words in described if words} == set(GROUPS)
    assert 4 <= sum(words.level == "basic" for words in described if words) <= 10


def test_the_defaults_are_within_their_own_limits() -> None:
    config = config_from(BASE)
    assert config_from(config.model_dump()) == config
    assert TrainingConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in OUTSIDE.items() for value in values])
def test_a_value_out_of_range_names_the_setting_what_was_given_and_what_is_right(name: str, value: Any) -> None:
    with pytest.raises(StudioError) as caught:
        config_from({**BASE, name: value})
    error = caught.value
    assert error.code == "bad-setting"
    assert error.field == name
    assert name.replace("_", " ") in error.what
    assert error.given == value
    assert error.valid == range_of(name)
    assert "pydantic" not in error.message
    assert "Value error" not in error.message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, [], {}, "x" * 10])
def test_what_is_no_number_is_no_learning_rate(value: Any) -> None:
    with pytest.raises(StudioError):
        config_from({**BASE, "learning_rate": value})


def test_a_mistyped_setting_is_told_the_nearest_name() -> None:
    with pytest.raises(StudioError) as caught:
        config_from({**BASE, "lerning-rate": 1e-4})
    assert caught.value.code == "unknown-setting"
    assert caught.value.hint == "Did you mean learning_rate?"
    assert caught.value.field == "lerning_rate"


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(StudioError) as caught:
        config_from({**BASE, "epochs": 0, "batch_size": 0, "banana": 1})
    assert {problem.field for problem in caught.value.all()} == {"epochs", "batch_size", "banana"}
    assert len(caught.value.message.splitlines()) == 3


def test_settings_may_be_written_as_on_the_command_line() -> None:
    assert config_from({**BASE, "learning-rate": 1e-3}).learning_rate == 1e-3


def test_shares_that_leave_too_little_to_learn_from_are_refused() -> None:
    with pytest.raises(StudioError) as caught:
        config_from({**BASE, "validation_share": 0.5, "test_share": 0.4})
    assert "90%" in caught.value.what
    assert "Value error" not in caught.value.what


def test_a_missing_model_is_said() -> None:
    with pytest.raises(StudioError) as caught:
        config_from({"task": "chat"})
    assert caught.value.field == "model"
    assert "missing" in caught.value.what


def test_a_config_can_not_be_changed() -> None:
    with pytest.raises(ValidationError):
        config_from(BASE).epochs = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("learning_rate", "a number, above 0, at most 0.1"),
        ("batch_size", "a whole number, at least 1, at most 1,024"),
        ("scheduler", "linear, cosine, constant, constant_with_warmup"),
        ("keep_best", "yes or no"),
        ("validation_share", "a number, at least 0, at most 0.5"),
        ("warmup_share", "a number, at least 0, below 1"),
    ],
)
def test_ranges_are_said_in_words(name: str, words: str) -> None:
    assert range_of(name) == words


def test_the_schema_is_plain_json() -> None:
    json.dumps(TrainingConfig.model_json_schema())


def test_settings_and_models_under_their_former_names_are_read() -> None:
    former = {"method": "qlora", "quantisation": "8-bit"}
    assert TrainingConfig(**BASE, **former).quantization == "8-bit"
    assert config_from({**BASE, **former}).quantization == "8-bit"
    assert RunRequest(dataset="d", model="m", settings=former).all_settings["quantization"] == "8-bit"
    config = TrainingConfig(**BASE, **former)
    plan = json.dumps({"config": {**BASE, **former}, "because": [], "changed": ["quantisation"]})
    assert Plan.model_validate_json(plan) == Plan(config=config, because=(), changed=("quantization",))
    model = {"name": "a", "title": "A", "source": "hub", "kind": "causal"}
    assert ModelInfo.model_validate({**model, "quantised": "gptq"}).quantized == "gptq"
    assert "quantised" not in config.model_dump()
