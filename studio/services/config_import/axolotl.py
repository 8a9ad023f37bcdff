"""Settings files of Axolotl, with their dataset entries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.data.formats import FORMATS
from studio.schema.config_import import ImportedConfig, ImportedData
from studio.services.config_import import base
from studio.services.config_import.base import Draft, number, same, whole
from studio.services.config_import.files import leads_outside

NAME = "Axolotl"
MARKS = frozenset(("base_model", "micro_batch_size", "sequence_len"))
"""Entries by which its settings files are recognized."""
RULES = {
    "base_model": ("model", same),
    "num_epochs": ("epochs", number),
    "max_steps": ("max_steps", whole),
    "learning_rate": ("learning_rate", number),
    "micro_batch_size": ("batch_size", whole),
    "gradient_accumulation_steps": ("gradient_accumulation", whole),
    "lr_scheduler": ("scheduler", base.schedule),
    "warmup_ratio": ("warmup_share", number),
    "warmup_steps": ("warmup_share", base.share_of_steps),
    "weight_decay": ("weight_decay", number),
    "max_grad_norm": ("max_grad_norm", number),
    "optimizer": ("optimizer", base.optimizer),
    "seed": ("seed", whole),
    "sequence_len": ("max_length", whole),
    "val_set_size": ("validation_share", base.share_of_rows),
    "lora_r": ("lora_rank", whole),
    "lora_alpha": ("lora_alpha", whole),
    "lora_dropout": ("lora_dropout", number),
    "loraplus_lr_ratio": ("loraplus_ratio", number),
    "neftune_noise_alpha": ("neftune_alpha", number),
    "gradient_checkpointing": ("gradient_checkpointing", base.truth),
    "sample_packing": ("packing", base.truth),
    "group_by_length": ("group_by_length", base.truth),
    "eval_steps": ("eval_steps", whole),
    "early_stopping_patience": ("early_stopping_patience", whole),
    "load_best_model_at_end": ("keep_best", base.truth),
    "label_smoothing_factor": ("label_smoothing", number),
    "rl_beta": ("beta", number),
    "dpo_beta": ("beta", number),
}
NOT_NEEDED = frozenset(
    "output_dir dataset_prepared_path logging_steps saves_per_epoch save_steps save_strategy save_total_limit "
    "evals_per_epoch eval_strategy eval_table_size flash_attention sdp_attention xformers_attention tf32 "
    "model_type tokenizer_type is_llama_derived_model wandb_entity wandb_watch wandb_name wandb_log_model "
    "hub_model_id push_dataset_to_hub hf_use_auth_token pad_to_sequence_len eval_sample_packing "
    "strict local_rank ddp_timeout dataset_processes dataloader_num_workers resume_from_checkpoint "
    "auto_resume_from_checkpoints save_safetensors bnb_config_kwargs debug "
    "include_tokens_per_second gradient_checkpointing_kwargs gpu_memory_limit lora_mlp_kernel lora_qkv_kernel "
    "lora_o_kernel shuffle_merged_datasets attn_implementation use_kernels liger_rope liger_rms_norm "
    "liger_rms_norm_gated liger_layer_norm liger_glu_activation liger_fused_linear_cross_entropy".split()
)
"""Entries without an effect on the result."""
REASONS = {
    "chat_template": base.OWN_TEMPLATE,
    "train_on_inputs": "The studio trains on the replies only. For whole texts, choose the task completion.",
    "special_tokens": "The studio keeps the special tokens of the model.",
    "lora_model_dir": "Open that adapter as a run, and then use --start-from.",
    "deepspeed": "Choose --zero 1, 2 or 3 for several GPUs.",
    "fsdp": "Choose --fsdp for several GPUs.",
    "fsdp_config": "Choose --fsdp for several GPUs.",
    "plugins": "Plugins of Axolotl do not run in the studio.",
    "test_datasets": "Use --validation FILE.",
    "unfrozen_parameters": "Choose the method last-layers, or --frozen-layers.",
    "lora_modules_to_save": "Choose the method lora-embeddings to train the embeddings.",
    "tokens": "The studio keeps the vocabulary of the model.",
    "trust_remote_code": "Allow a model's own code with: studio trust MODEL.",
    "peft_layers_to_transform": "Choose --frozen-layers to leave out the first layers.",
}
RL_TASKS = {"dpo": "preference", "ipo": "preference", "kto": "feedback"}
TYPES = {
    "completion": "completion",
    "pretrain": "completion",
    "alpaca": "chat",
    "chat_template": "chat",
    "sharegpt": "chat",
    "input_output": "",
}
"""Begin of a dataset type → task. Empty: not supported."""


def convert(entries: Mapping[str, Any], folder: Path | None) -> ImportedConfig:
    """Convert the entries of a settings file. Paths of data are relative to `folder`."""
    draft = Draft(NAME, entries)
    _method(draft)
    _targets(draft)
    if entries.get("bf16") in (True, "auto", "full", "true"):
        draft.put("bf16", "precision", "bfloat16")
    elif entries.get("fp16") in (True, "true"):
        draft.put("fp16", "precision", "float16")
    draft.used |= {"bf16", "fp16", "bfloat16", "float16"}
    draft.apply(RULES)
    if draft.take("wandb_project"):
        draft.put("wandb_project", "mirror", "wandb")
    _task(draft)
    return draft.finish(NOT_NEEDED, REASONS)


def _method(draft: Draft) -> None:
    adapter, four, eight = draft.take("adapter"), draft.take("load_in_4bit"), draft.take("load_in_8bit")
    if adapter not in (None, "", "lora", "qlora"):
        draft.refuse("adapter", "The studio has no such method for this file. Valid: lora, qlora, or empty for full.")
        return
    method = "lora" if adapter else "full"
    if adapter and (four or eight):
        method = "qlora"
        draft.put("load_in_4bit" if four else "load_in_8bit", "quantization", "4-bit" if four else "8-bit")
    elif adapter == "qlora":
        method = "qlora"
    draft.settings["method"] = base.lora_variant(draft, method, {"peft_use_dora": "dora", "peft_use_rslora": "rslora"})
    if "adapter" in draft.entries:
        draft.note("adapter", "method")


def _targets(draft: Draft) -> None:
    if draft.take("lora_target_linear"):
        draft.put("lora_target_linear", "lora_targets", "all-linear")
        draft.take("lora_target_modules")
        return
    draft.apply({"lora_target_modules": ("lora_targets", base.targets)})


def _task(draft: Draft) -> None:
    rl, datasets = draft.take("rl"), draft.take("datasets")
    if rl:
        if str(rl) in RL_TASKS:
            draft.settings["task"] = RL_TASKS[str(rl)]
            draft.note("rl", "task")
            if rl == "ipo":
                draft.settings["preference_loss"] = "ipo"
        else:
            draft.refuse("rl", "The studio has no such training. Valid: dpo, ipo and kto.")
    for entry in datasets if isinstance(datasets, list) else []:
        data, task = data_of(entry)
        if data is None:
            draft.refuse("datasets", "An entry names no file beside the settings file and no dataset on the Hub.")
            continue
        draft.data.append(data)
        draft.note("datasets", "data")
        if task:
            draft.settings.setdefault("task", task)


def data_of(entry: Any) -> tuple[ImportedData | None, str]:
    """Return the data of an entry of `datasets` with the roles of its columns, and its task. None: no usable path."""
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        return None, ""
    kind, path = entry.get("type"), str(entry["path"])
    files = entry.get("data_files")
    if entry.get("ds_type") and isinstance(files, str | list) and files:
        path = files if isinstance(files, str) else str(files[0])
    if leads_outside(path) or "://" in path:
        return None, ""
    # names on the Hub have dots, too: OWNER/NAME-2.5
    readable = any(Path(path).suffix.lower() in format.extensions for format in FORMATS.values())
    is_file = readable or bool(entry.get("ds_type")) or path.startswith("./")
    roles: dict[str, str] = {}
    if isinstance(kind, dict):  # a format of the user's own
        for key, role in (("field_instruction", "prompt"), ("field_input", "context"), ("field_output", "reply")):
            if isinstance(kind.get(key), str):
                roles[kind[key]] = role
        if isinstance(kind.get("field_system"), str):
            roles[kind["field_system"]] = "system"
    if isinstance(entry.get("field_messages"), str):
        roles[entry["field_messages"]] = "messages"
    name = kind if isinstance(kind, str) else "alpaca"
    task = next((task for start, task in TYPES.items() if name.startswith(start)), "")
    if task == "completion" and isinstance(entry.get("field"), str):
        roles[entry["field"]] = "text"
    place = Path(path).as_posix() if is_file else base.hub_place(path, entry.get("name"), entry.get("split"))
    return ImportedData(path=place, roles=roles), task
