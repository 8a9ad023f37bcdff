"""What each method changes in a model, and that its result loads with plain libraries."""

import json
from pathlib import Path

import pytest
import torch
from made_runs import random_run
from peft import AutoPeftModelForCausalLM, PeftModel
from safetensors.torch import load_file
from small_trainings import LABELS, chat_job, label_job, losses, run, tiny_bert, tiny_llama
from task_runs import tiny_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from studio.inference.base_and_tuned import load_pair
from studio.inference.heads import head_of
from studio.inference.load import load_adapter, load_base, merged
from studio.models.inspect import inspect_folder
from studio.schema.config import TrainingConfig
from studio.schema.dataset import DatasetSpec
from studio.training.methods import METHODS
from studio.training.methods.lora import linear_layers

IDS = torch.tensor([[1, 4093, 198, 5000, 260, 34, 17]])


def test_an_adapter_stands_at_every_linear_layer_but_the_head(tmp_path: Path) -> None:
    llama = AutoModelForCausalLM.from_pretrained(str(tiny_llama(tmp_path).path))
    assert linear_layers(llama) == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert linear_layers(llama, only_attention=True) == ["k_proj", "o_proj", "q_proj", "v_proj"]


def test_layers_are_found_in_other_architectures_too() -> None:
    gpt = GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=50))
    assert linear_layers(gpt) == ["c_attn", "c_fc", "c_proj"]
    config = RobertaConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=50
    )
    roberta = linear_layers(RobertaForSequenceClassification(config))
    assert not any("classifier" in name for name in roberta)
    assert any(name.endswith("intermediate.dense") for name in roberta)
    only = linear_layers(RobertaForSequenceClassification(config), only_attention=True)
    assert only and all("attention" in name for name in only)


def test_only_the_adapter_learns(tmp_path: Path) -> None:
    config = TrainingConfig(task="chat", model="m", lora_rank=4)
    wrapped = METHODS["lora"].wrap(AutoModelForCausalLM.from_pretrained(str(tiny_llama(tmp_path).path)), config)
    assert all(("lora_" in name) == weight.requires_grad for name, weight in wrapped.named_parameters())


def test_a_lora_run_leaves_an_adapter_that_plain_peft_loads(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "base")
    outcome, said = run(chat_job(tmp_path / "run", info, epochs=1))
    assert outcome.path == tmp_path / "run" / "adapter"
    assert losses(said)[-1] < losses(said)[0]
    base = AutoModelForCausalLM.from_pretrained(str(info.path), dtype=torch.float32)
    before = base(input_ids=IDS).logits
    tuned = PeftModel.from_pretrained(base, str(outcome.path)).eval()
    assert not torch.allclose(tuned(input_ids=IDS).logits, before)
    with tuned.disable_adapter():
        torch.testing.assert_close(tuned(input_ids=IDS).logits, before)
    names = {path.name for path in outcome.path.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "chat_template.jinja"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pkl")) or name == "README.md" for name in names)


def test_a_full_run_leaves_a_whole_model_in_the_precision_of_the_run(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "base")
    outcome, said = run(
        chat_job(tmp_path / "run", info, method="full", epochs=1, precision="bfloat16", learning_rate=3e-3)
    )
    assert outcome.path == tmp_path / "run" / "model"
    assert losses(said)[-1] < losses(said)[0]
    model = AutoModelForCausalLM.from_pretrained(str(outcome.path), dtype="auto")
    assert model.dtype == torch.bfloat16
    base = AutoModelForCausalLM.from_pretrained(str(info.path), dtype=torch.bfloat16)
    changed = [not torch.equal(a, b) for a, b in zip(model.parameters(), base.parameters(), strict=True)]
    assert all(changed)


def test_a_classifier_knows_its_labels_by_name(tmp_path: Path) -> None:
    outcome, said = run(label_job(tmp_path / "run", tiny_bert(tmp_path / "base")))
    model = AutoModelForSequenceClassification.from_pretrained(str(outcome.path))
    assert model.config.id2label == dict(enumerate(LABELS))
    assert model.config.label2id == {label: number for number, label in enumerate(LABELS)}
    assert losses(said)[-1] < losses(said)[0]
    assert {"accuracy", "macro_f1", "eval_loss", "base_eval_loss"} <= set(outcome.metrics)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_an_adapter_of_a_classifier_brings_its_head(tmp_path: Path, kind: str) -> None:
    info = (tiny_bert if kind == "encoder" else tiny_llama)(tmp_path / "base")
    outcome, _ = run(label_job(tmp_path / "run", info, method="lora", learning_rate=1e-2))
    base = AutoModelForSequenceClassification.from_pretrained(str(info.path), num_labels=len(LABELS))
    tuned = PeftModel.from_pretrained(base, str(outcome.path)).eval()
    saved = json.loads((outcome.path / "adapter_config.json").read_text())
    assert saved["task_type"] == "SEQ_CLS"
    assert {"encoder": "classifier", "decoder": "score"}[kind] in saved["modules_to_save"]
    assert tuned(input_ids=IDS[:, :4]).logits.shape == (1, len(LABELS))
    weights = load_file(outcome.path / "adapter_model.safetensors")
    assert all(weight.abs().max() > 0 for name, weight in weights.items() if "lora_B" in name)
    assert any({"encoder": "classifier", "decoder": "score"}[kind] in name for name in weights)


def test_factors_beside_a_head_of_several_layers_are_merged_into_a_plain_model(tmp_path: Path) -> None:
    info = tiny_model("roberta", tmp_path / "base")
    data = DatasetSpec(task="classification", roles={"text": "text", "label": "label"}, label_names=LABELS)
    run_ = random_run(info, tmp_path / "run", data, "ia3")
    base = AutoModelForSequenceClassification.from_pretrained(str(info.path), num_labels=len(LABELS))
    plain = PeftModel.from_pretrained(base, str(tmp_path / "run" / "adapter")).eval()
    model = load_pair(run_).tuned
    with torch.no_grad():
        assert not hasattr(model, "peft_config")
        torch.testing.assert_close(model(input_ids=IDS).logits, plain(input_ids=IDS).logits, atol=1e-4, rtol=1e-4)


def test_checkpointing_of_activations_changes_no_loss(tmp_path: Path) -> None:
    info = tiny_llama(tmp_path / "base")
    _, plain = run(chat_job(tmp_path / "a", info, epochs=1))
    _, twice = run(chat_job(tmp_path / "b", info, epochs=1, gradient_checkpointing=True))
    assert losses(twice) == pytest.approx(losses(plain), abs=1e-5)


def test_the_adapter_is_read_by_its_own_auto_class(tmp_path: Path) -> None:
    outcome, _ = run(chat_job(tmp_path / "run", tiny_llama(tmp_path / "base"), epochs=1, rows=8))
    assert AutoPeftModelForCausalLM.from_pretrained(str(outcome.path)).peft_config["default"].r == 8


@pytest.mark.parametrize("method", ["lora", "ia3"])
def test_a_layer_that_the_base_lacks_comes_with_the_adapter(tmp_path: Path, method: str) -> None:
    tiny_bert(tmp_path / "whole")
    masked = BertForMaskedLM.from_pretrained(tmp_path / "whole")  # which has no pooler
    masked.save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(tmp_path / "whole").save_pretrained(tmp_path / "base")
    info = inspect_folder(tmp_path / "base", title="Masked")
    job = label_job(tmp_path / "run", info, method=method, learning_rate=1e-2)
    outcome, _ = run(job)
    assert any("pooler" in name for name in load_file(outcome.path / "adapter_model.safetensors"))
    loads = [load_adapter(load_base(info, "float32", head_of(info, job.data)), outcome.path) for _ in range(2)]
    one, other = (model(input_ids=IDS[:, :4]).logits for model in loads)
    torch.testing.assert_close(one, other)
    plain = merged(load_base(info, "float32", head_of(info, job.data)), outcome.path)
    torch.testing.assert_close(plain(input_ids=IDS[:, :4]).logits, one, atol=1e-5, rtol=1e-4)
