"""Settings against the known obstacles do what they say in a real training."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from small_trainings import chat_job, label_job, losses, run, small_llama, tiny_bert, tiny_llama
from transformers import AutoModelForCausalLM

from studio.machine.facts import machine_facts
from studio.schema.models import ModelInfo
from studio.training.batching import packed_attention
from studio.training.loop.run import train
from studio.training.losses.neftune import add_noise
from studio.training.optimizers import OPTIMIZERS

LARGER: dict[str, dict[str, Any]] = {
    "sgd": {"learning_rate": 0.1, "lora_alpha": 512},
    "adagrad": {"learning_rate": 0.05},
}
"""Steps of those that need larger ones than AdamW's."""


def test_noise_on_words_is_by_the_length_of_each_row_and_never_in_answers(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(str(small_llama(tmp_path).path))
    ids = torch.full((1, 8), 7)
    plain = model.get_input_embeddings()(ids)
    add_noise(model, 5.0)
    model.train()
    packed_attention.set_row_lengths(None)  # a training in this process has left its last batch's
    apart = (model.get_input_embeddings()(ids) - plain).abs()
    assert 0 < apart.max() <= 5 / (8 * plain.shape[-1]) ** 0.5
    packed_attention.set_row_lengths([2, 6])
    apart = (model.get_input_embeddings()(ids) - plain).abs()[0]
    packed_attention.set_row_lengths(None)
    assert apart[:2].max() > 5 / (6 * plain.shape[-1]) ** 0.5 > apart[2:].max() * 0.99
    model.eval()
    assert torch.equal(model.get_input_embeddings()(ids), plain)


def test_noise_changes_the_losses_of_a_run_and_not_its_checks_before(tmp_path: Path) -> None:
    info = small_llama(tmp_path / "base")
    plain, said = run(chat_job(tmp_path / "a", info, epochs=1, rows=8))
    noisy, heard = run(chat_job(tmp_path / "b", info, epochs=1, rows=8, neftune_alpha=20))
    assert losses(heard)[0] != losses(said)[0]
    assert noisy.metrics["base_eval_loss"] == pytest.approx(plain.metrics["base_eval_loss"], abs=1e-6)


def test_the_second_side_of_an_adapter_learns_faster_with_lora_plus(tmp_path: Path) -> None:
    info = small_llama(tmp_path / "base")
    sizes = []
    for name, ratio in (("a", 1), ("b", 16)):
        job = chat_job(tmp_path / name, info, epochs=1, rows=8, held=0, loraplus_ratio=ratio, learning_rate=1e-3)
        outcome, _ = run(job)
        weights = load_file(outcome.path / "adapter_model.safetensors")  # type: ignore[operator]
        sizes.append(sum(float(weight.abs().sum()) for name, weight in weights.items() if "lora_B" in name))
    assert sizes[1] > 5 * sizes[0]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> ModelInfo:
    return tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize(
    "optimizer", [name for name, each in OPTIMIZERS.items() if not each.unavailable_reason(machine_facts())]
)
def test_a_run_learns_with_each_optimizer_that_this_machine_can_run(
    tmp_path: Path, tiny: ModelInfo, optimizer: str
) -> None:
    steps: dict[str, Any] = {"learning_rate": 3e-3, **LARGER.get(optimizer, {})}
    # so wide an adapter has matrices of 4,096 weights: of smaller ones bitsandbytes keeps no state in 8 bits
    job = chat_job(tmp_path, tiny, rows=8, held=0, epochs=3, lora_rank=128, optimizer=optimizer, **steps)
    outcome, said = run(job)
    assert len(losses(said)) == 6 and losses(said)[-1] < losses(said)[0] - 0.02
    weights = load_file(outcome.path / "adapter_model.safetensors")  # type: ignore[operator]
    assert all(bool(weight.any()) for name, weight in weights.items() if "lora_B" in name), "they began at zero"


@pytest.mark.parametrize("optimizer", ["adafactor", "adamw-8bit", "lion"])
def test_a_run_learns_with_another_optimizer_and_goes_on_from_its_checkpoint(tmp_path: Path, optimizer: str) -> None:
    info = small_llama(tmp_path / "base")
    values: dict[str, Any] = {
        "optimizer": optimizer,
        "epochs": 2,
        "eval_steps": 2,
        "learning_rate": 3e-3,
        "lora_rank": 32,
    }
    _, whole = run(chat_job(tmp_path / "a", info, rows=16, **values))
    assert losses(whole)[-1] < losses(whole)[0]
    said: list[Any] = []
    train(
        chat_job(tmp_path / "b", info, rows=16, **values),
        said.append,
        lambda: "keep" if len(losses(said)) >= 3 else None,
    )
    _, rest = run(chat_job(tmp_path / "b", info, rows=16, **values))
    assert losses(said) + losses(rest) == pytest.approx(losses(whole), abs=2e-3)


def test_rates_by_layer_and_dropout_of_the_model_are_used(tmp_path: Path) -> None:
    info = tiny_bert(tmp_path / "base")
    _, plain = run(label_job(tmp_path / "a", info, epochs=1))
    _, slow = run(label_job(tmp_path / "b", info, epochs=1, layer_decay=0.5))
    _, dropped = run(label_job(tmp_path / "c", info, epochs=1, dropout=0.5))
    assert losses(slow)[0] == losses(plain)[0] and losses(slow)[-1] != losses(plain)[-1]
    assert losses(dropped)[0] != losses(plain)[0]


def test_a_head_learns_alone_at_first_then_all_of_the_model_and_a_resumed_run_does_the_same(tmp_path: Path) -> None:
    info = tiny_bert(tmp_path / "base")
    values = {"head_first": 0.5, "epochs": 2, "eval_steps": 3}
    before = load_file(f"{info.path}/model.safetensors")

    def moved(folder: Path) -> set[bool]:
        after = load_file(folder / "model.safetensors")
        return {not torch.equal(after[f"bert.{name}"], weight) for name, weight in before.items() if "layer.0" in name}

    whole, said = run(label_job(tmp_path / "a", info, **values))
    assert moved(whole.path) == {True}  # type: ignore[arg-type]
    some: list[Any] = []
    part = train(
        label_job(tmp_path / "b", info, **values), some.append, lambda: "keep" if len(losses(some)) >= 5 else None
    )
    assert moved(part.path) == {False}, "six of twelve steps are the head's"  # type: ignore[arg-type]
    _, rest = run(label_job(tmp_path / "b", info, **values))
    assert losses(some) + losses(rest) == pytest.approx(losses(said), abs=1e-5)


def test_settings_of_full_training_change_nothing_of_an_adapter(tmp_path: Path) -> None:
    info = tiny_bert(tmp_path / "base")
    _, plain = run(label_job(tmp_path / "a", info, epochs=1, rows=16, held=0, method="lora"))
    ignored = {"head_first": 0.5, "layer_decay": 0.5}
    _, said = run(label_job(tmp_path / "b", info, epochs=1, rows=16, held=0, method="lora", **ignored))
    assert losses(said) == losses(plain)


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_a_head_learns_in_float32_on_a_model_in_bfloat16(tmp_path: Path, method: str) -> None:
    info = small_llama(tmp_path / "base")
    values: dict[str, Any] = {"method": method, "precision": "bfloat16", "optimizer": "adafactor"}
    outcome, said = run(label_job(tmp_path / "a", info, epochs=2, **values))
    assert losses(said)[-1] < losses(said)[0]
    weights = load_file(outcome.path / "adapter_model.safetensors")  # type: ignore[operator]
    assert [weight.dtype for name, weight in weights.items() if name.endswith("score.weight")] == [torch.float32]


def test_embeddings_learn_in_float32_in_a_model_in_bfloat16(tmp_path: Path) -> None:
    info = small_llama(tmp_path / "base")
    values: dict[str, Any] = {"method": "lora-embeddings", "precision": "bfloat16", "optimizer": "adafactor"}
    _, said = run(chat_job(tmp_path / "a", info, rows=8, epochs=2, **values))
    assert losses(said)[-1] < losses(said)[0]
