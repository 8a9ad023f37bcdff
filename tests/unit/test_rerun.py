"""A run again: everything as it was but for what is changed, and said in words."""

import pytest

from studio.schema.config import TrainingConfig
from studio.schema.errors import StudioError
from studio.services.runs.rerun import changed_settings, rerun_reason

BEFORE = TrainingConfig(
    task="chat", model="m", learning_rate=1e-3, epochs=4, eval_steps=17, lora_rank=4, test_prompts=("Where?",)
)


def test_what_is_not_changed_is_as_it_was() -> None:
    method, settings = changed_settings(BEFORE, {"learning-rate": 5e-4})
    assert (method, settings["learning_rate"], settings["epochs"], settings["eval_steps"]) == ("lora", 5e-4, 4, 17)
    assert settings["lora_rank"] == 4 and settings["test_prompts"] == ("Where?",)


def test_settings_of_other_methods_and_tasks_are_not_taken_over() -> None:
    _, settings = changed_settings(BEFORE, {})
    assert not {"virtual_tokens", "last_layers", "label_smoothing"} & set(settings)


def test_the_rhythm_of_checks_follows_a_new_length_unless_it_is_set_too() -> None:
    assert "eval_steps" not in changed_settings(BEFORE, {"epochs": 1})[1]
    assert changed_settings(BEFORE, {"epochs": 1, "eval_steps": 3})[1]["eval_steps"] == 3


def test_another_method_can_be_tried_on_the_same_rows() -> None:
    method, settings = changed_settings(BEFORE, {"method": "ia3"})
    assert method == "ia3" and "lora_rank" not in settings and settings["learning_rate"] == 1e-3


@pytest.mark.parametrize(("name", "value"), [("task", "classification"), ("model", "other"), ("preset", "quick")])
def test_another_task_model_or_preset_is_another_run(name: str, value: str) -> None:
    with pytest.raises(StudioError) as refused:
        changed_settings(BEFORE, {name: value})
    assert refused.value.code == "bad-setting" and refused.value.field == name
    assert changed_settings(BEFORE, {name: getattr(BEFORE, name)})[0] == "lora"


def test_the_change_is_said_with_both_values() -> None:
    after = BEFORE.model_copy(update={"learning_rate": 5e-4, "keep_best": False})
    said = rerun_reason("tone", BEFORE, after)
    assert "learning rate 0.0005 instead of 0.001" in said and "keep the best checkpoint no instead of yes" in said
    assert rerun_reason("tone", BEFORE, BEFORE) == "Run again with the settings of tone, unchanged."
