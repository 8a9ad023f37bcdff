"""Settings files of LLaMA-Factory and Axolotl become settings of a run, and what is lost is said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from studio.schema.errors import StudioError
from studio.schema.settings_check import config_from
from studio.services.config_import.service import convert_file, convert_text

LLAMA_FACTORY = """
### model
model_name_or_path: HuggingFaceTB/SmolLM2-135M-Instruct
trust_remote_code: true
### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 16
lora_target: all
### dataset
dataset: replies,more
template: llama3
cutoff_len: 2048
max_samples: 1000
preprocessing_num_workers: 16
### output
output_dir: saves/llama3-8b/lora/sft
logging_steps: 10
plot_loss: true
### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
resume_from_checkpoint: null
val_size: 0.1
"""
AXOLOTL = """
base_model: NousResearch/Llama-3.2-1B
load_in_4bit: true
adapter: qlora
datasets:
  - path: teknium/GPT4-LLM-Cleaned
    type: alpaca
  - path: rows/chats.jsonl
    type: chat_template
    field_messages: turns
  - path: /etc/passwd
    ds_type: json
    type: alpaca
val_set_size: 0.1
sequence_len: 2048
sample_packing: true
lora_r: 32
lora_alpha: 16
lora_dropout: 0.05
lora_target_linear: true
gradient_accumulation_steps: 2
micro_batch_size: 2
num_epochs: 1
optimizer: adamw_8bit
lr_scheduler: cosine
learning_rate: 2e-4
bf16: auto
gradient_checkpointing: true
warmup_steps: 10
weight_decay: 0.0
wandb_project:
"""
DEFINITIONS = {
    "replies": {"file_name": "replies.json", "columns": {"prompt": "ask", "response": "say", "query": ""}},
    "more": {"hf_hub_url": "owner/more"},
    "outside": {"file_name": "../secret.json"},
    "absolute": {"file_name": "/etc/passwd"},
}


def reasons(found: Any) -> dict[str, str]:
    """Entry → why it was not converted."""
    return {each.name: each.reason for each in found.not_converted}


def test_a_file_of_llama_factory_is_converted_with_its_dataset_definitions(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset_info.json").write_text(json.dumps(DEFINITIONS))
    (tmp_path / "sft.yaml").write_text(LLAMA_FACTORY)
    found = convert_file(tmp_path / "sft.yaml")
    assert found.tool == "LLaMA-Factory"
    assert found.settings == {
        "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
        "task": "chat",
        "method": "lora",
        "lora_rank": 16,
        "lora_targets": "all-linear",
        "max_length": 2048,
        "batch_size": 1,
        "gradient_accumulation": 8,
        "learning_rate": 1e-4,
        "epochs": 3.0,
        "scheduler": "cosine",
        "warmup_share": 0.1,
        "precision": "bfloat16",
        "validation_share": 0.1,
    }
    assert [(each.path, each.roles) for each in found.data] == [
        ("data/replies.json", {"ask": "prompt", "say": "reply"}),
        ("hf:owner/more", {}),
    ]
    assert set(reasons(found)) == {"trust_remote_code", "template", "max_samples"}
    assert "output_dir" in found.not_needed and "logging_steps" in found.not_needed


def test_a_file_of_axolotl_is_converted_with_its_datasets() -> None:
    found = convert_text(AXOLOTL)
    assert found.tool == "Axolotl"
    assert found.settings["method"] == "qlora" and found.settings["quantization"] == "4-bit"
    assert found.settings["optimizer"] == "adamw-8bit" and found.settings["learning_rate"] == 2e-4
    assert found.settings["task"] == "chat" and "packing" not in found.settings
    assert [(each.path, each.roles) for each in found.data] == [
        ("hf:teknium/GPT4-LLM-Cleaned", {}),
        ("rows/chats.jsonl", {"turns": "messages"}),
    ]
    assert set(reasons(found)) == {"datasets", "warmup_steps", "sample_packing"}
    assert "--warmup-share" in reasons(found)["warmup_steps"]


@pytest.mark.parametrize("text", [LLAMA_FACTORY, AXOLOTL], ids=["LLaMA-Factory", "Axolotl"])
def test_every_entry_is_converted_listed_or_not_needed_and_the_result_is_a_valid_config(text: str) -> None:
    found = convert_text(text)
    config_from(found.settings)
    entries = {name for name, value in yaml.safe_load(text).items() if value not in (None, False)}
    handled = {*found.converted, *reasons(found), *found.not_needed}
    assert not entries - handled


@pytest.mark.parametrize("name", ["outside", "absolute", "missing"])
def test_a_definition_that_leads_out_of_the_folder_is_not_used(name: str, tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text(json.dumps(DEFINITIONS))
    (tmp_path / "a.yaml").write_text(f"model_name_or_path: a/b\nstage: sft\ndataset: {name}\n")
    found = convert_file(tmp_path / "a.yaml")
    assert not found.data and name in reasons(found)["dataset"]


def test_a_data_folder_outside_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text(json.dumps(DEFINITIONS))
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link").symlink_to(tmp_path)
    for place in ("..", str(tmp_path), "link"):
        (inner / "a.yaml").write_text(f"model_name_or_path: a/b\nstage: sft\ndataset: replies\ndataset_dir: {place}\n")
        assert not convert_file(inner / "a.yaml").data, place


@pytest.mark.parametrize(
    ("entries", "settings"),
    [
        (
            "stage: dpo\npref_beta: 0.2\npref_loss: hinge",
            {"task": "preference", "beta": 0.2, "preference_loss": "hinge"},
        ),
        ("stage: kto", {"task": "feedback"}),
        ("stage: pt\npacking: true", {"task": "completion", "packing": True}),
        ("finetuning_type: full\npure_bf16: true", {"method": "full", "precision": "bfloat16"}),
        ("finetuning_type: freeze\nfreeze_trainable_layers: 2", {"method": "last-layers", "last_layers": 2}),
        ("finetuning_type: lora\nquantization_bit: 8", {"method": "qlora", "quantization": "8-bit"}),
        ("use_dora: true", {"method": "dora"}),
        ("lora_target: q_proj,v_proj", {"lora_targets": "attention"}),
        ("optim: adamw_torch", {"optimizer": "adamw"}),
    ],
)
def test_methods_and_tasks_of_llama_factory(entries: str, settings: dict[str, Any]) -> None:
    found = convert_text(f"model_name_or_path: a/b\n{entries}")
    assert settings.items() <= found.settings.items() and not found.not_converted


@pytest.mark.parametrize(
    ("entries", "name"),
    [
        ("stage: ppo", "stage"),
        ("finetuning_type: oft", "finetuning_type"),
        ("learning_rate: fast", "learning_rate"),
        ("learning_rate: 7", "learning_rate"),
        ("val_size: 100", "val_size"),
        ("optim: muon", "optim"),
        ("lr_scheduler_type: polynomial", "lr_scheduler_type"),
        ("lora_target: q_proj,up_proj", "lora_target"),
        ("lora_target: gate_proj,up_proj,down_proj", "lora_target"),
        ("use_dora: true\nquantization_bit: 4", "use_dora"),
        ("use_dora: true\nuse_rslora: true", "use_rslora"),
        ("use_dora: true\nfinetuning_type: full", "use_dora"),
        ("pref_loss: orpo\nstage: dpo", "pref_loss"),
        ("deepspeed: ds_z3.json", "deepspeed"),
        ("something_new: 5", "something_new"),
    ],
)
def test_what_has_no_counterpart_is_listed_with_a_reason(entries: str, name: str) -> None:
    found = convert_text(f"model_name_or_path: a/b\n{entries}")
    assert reasons(found)[name].endswith(".") and name not in found.converted


@pytest.mark.parametrize(
    "text",
    [
        "a: [1, 2",
        "- a\n- b",
        "epochs: 3",
        "",
        "model_name_or_path: !!python/object/apply:os.system ['echo hi']",
        "[" * 5000,
        "a: 1\n" * 300_000,
    ],
    ids=["syntax", "list", "own settings", "empty", "object", "deep", "large"],
)
def test_other_files_are_refused_with_a_message(text: str) -> None:
    with pytest.raises(StudioError) as refused:
        convert_text(text)
    assert refused.value.code == "unreadable-file" and (refused.value.hint or refused.value.valid)


def test_aliases_that_grow_without_end_are_no_problem() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 60)]
    found = convert_text("model_name_or_path: a/b\n" + "\n".join(lines))
    assert all(len(each.value) <= 120 for each in found.not_converted)


def test_the_command_writes_settings_that_train_reads(call: Callable[..., Any], tmp_path: Path) -> None:
    file, out = tmp_path / "axolotl.yaml", tmp_path / "settings.yaml"
    file.write_text(AXOLOTL)
    status, answer, _ = call("import-config", file, "--out", out)
    assert status == 0 and answer["tool"] == "Axolotl"
    from studio.cli.settings import read_settings

    assert read_settings(out) == answer["settings"]
    assert call("import-config", file, "--out", out)[0] == 2
    assert call("import-config", tmp_path / "none.yaml")[0] == 2


def test_a_dataset_of_the_hub_with_a_dot_in_its_name_is_no_file() -> None:
    entries = "base_model: a/b\ndatasets:\n  - path: teknium/OpenHermes-2.5\n    type: chat_template\n"
    assert [each.path for each in convert_text(entries).data] == ["hf:teknium/OpenHermes-2.5"]


def test_a_variant_of_lora_that_4_bits_rule_out_is_listed_as_not_converted() -> None:
    found = convert_text("base_model: a/b\nadapter: qlora\nload_in_4bit: true\npeft_use_dora: true")
    assert found.settings["method"] == "qlora"
    assert [each.name for each in found.not_converted] == ["peft_use_dora"]


def test_the_split_and_the_config_of_a_dataset_of_the_hub_are_kept(tmp_path: Path) -> None:
    entries = "base_model: a/b\ndatasets:\n  - path: c/d\n    split: train_sft\n  - path: e/f\n    name: en\n"
    assert [each.path for each in convert_text(entries).data] == ["hf:c/d::train_sft", "hf:e/f:en"]
    definitions = {"chats": {"hf_hub_url": "c/d", "subset": "en", "split": "train_sft"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(definitions))
    found = convert_text("model_name_or_path: a/b\ndataset: chats", folder=tmp_path)
    assert [each.path for each in found.data] == ["hf:c/d:en:train_sft"]


def test_what_is_off_or_only_faster_is_not_needed_and_equal_values_have_other_names() -> None:
    text = (
        "base_model: a/b\nadapter: lora\nsample_packing: false\nattn_implementation: flash_attention_2\n"
        "datasets:\n  - path: c/d\n    type: chat_template\n"
        "liger_rope: true\noptimizer: adamw_torch_8bit\nwarmup_steps: 0.1\ngradient_checkpointing: offload\n"
    )
    done = convert_text(text)
    assert not done.not_converted
    assert {"sample_packing", "attn_implementation", "liger_rope"} <= set(done.not_needed)
    same = {"optimizer": "adamw-8bit", "warmup_share": 0.1, "gradient_checkpointing": True}
    assert same.items() <= done.settings.items() and "packing" not in done.settings
