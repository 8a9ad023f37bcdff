"""How many parameters learn is counted from shapes."""

from pathlib import Path

import pytest

from studio.models import find_model, inspect_folder
from studio.models.catalog import CATALOG
from studio.schema.config import TrainingConfig
from studio.schema.models import ModelInfo
from studio.training.methods import method_named
from tests.hubserver import tiny_folder

BASE = TrainingConfig(task="chat", model="any")


@pytest.fixture
def tiny(tmp_path: Path) -> ModelInfo:
    tiny_folder(tmp_path, ())
    return inspect_folder(tmp_path)


def trainable_parameters(info: ModelInfo, config: TrainingConfig, labels: int = 0) -> int:
    return method_named(config.method).learned(info, config, labels)


def with_(**values: object) -> TrainingConfig:
    return BASE.model_copy(update=values)


def test_an_adapter_has_two_sides_at_every_linear_layer(tiny: ModelInfo) -> None:
    attention = 2 * (64 + 64) + 2 * (32 + 64)
    assert trainable_parameters(tiny, with_(lora_rank=8)) == 8 * 4 * (attention + 3 * (64 + 128))
    assert trainable_parameters(tiny, with_(lora_rank=8, lora_targets="attention")) == 8 * 4 * attention


def test_full_training_learns_everything_and_a_head_on_top(tiny: ModelInfo) -> None:
    assert trainable_parameters(tiny, with_(method="full")) == tiny.parameters
    assert trainable_parameters(tiny, with_(method="full"), labels=3) == tiny.parameters + 3 * 64


def test_the_chat_starter_learns_as_many_as_peft_counts() -> None:
    info = find_model("starter-chat")
    assert trainable_parameters(info, with_(lora_rank=8)) == 2_442_240


def test_a_model_that_is_not_here_is_guessed_within_a_third() -> None:
    starter = find_model("starter-chat")
    away = starter.model_copy(update={"path": None, "here": False})
    exact, guess = trainable_parameters(starter, BASE), trainable_parameters(away, BASE)
    assert abs(guess - exact) < exact / 3
    assert all(trainable_parameters(entry.info, BASE) > 100_000 for entry in CATALOG)
