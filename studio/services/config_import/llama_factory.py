"""Settings files and dataset definitions of LLaMA-Factory."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.schema.config_import import ImportedConfig, ImportedData
from studio.schema.errors import StudioError
from studio.services.config_import import base
from studio.services.config_import.base import Draft, number, same, whole
from studio.services.config_import.files import leads_outside, local_file, read_text

NAME = "LLaMA-Factory"
MARKS = frozenset(("model_name_or_path", "stage", "finetuning_type"))
"""Entries by which its settings files are recognized."""
TASKS = {"sft": "chat", "pt": "completion", "dpo": "preference", "kto": "feedback"}
RULES = {
    "model_name_or_path": ("model", same),
    "num_train_epochs": ("epochs", number),
    "max_steps": ("max_steps", lambda value: max(whole(value), 0)),
    "learning_rate": ("learning_rate", number),
    "per_device_train_batch_size": ("batch_size", whole),
    "gradient_accumulation_steps": ("gradient_accumulation", whole),
    "lr_scheduler_type": ("scheduler", base.schedule),
    "warmup_ratio": ("warmup_share", number),
    "warmup_steps": ("warmup_share", base.share_of_steps),
    "weight_decay": ("weight_decay", number),
    "max_grad_norm": ("max_grad_norm", number),
    "optim": ("optimizer", base.optimizer),
    "seed": ("seed", whole),
    "cutoff_len": ("max_length", whole),
    "val_size": ("validation_share", base.share_of_rows),
    "lora_rank": ("lora_rank", whole),
    "lora_alpha": ("lora_alpha", whole),
    "lora_dropout": ("lora_dropout", number),
    "lora_target": ("lora_targets", base.targets),
    "loraplus_lr_ratio": ("loraplus_ratio", number),
    "neftune_noise_alpha": ("neftune_alpha", number),
    "freeze_trainable_layers": ("last_layers", whole),
    "pref_beta": ("beta", number),
    "pref_loss": ("preference_loss", same),
    "packing": ("packing", base.truth),
    "mask_history": ("learn_replies", lambda value: "last" if base.truth(value) else "all"),
    "eval_steps": ("eval_steps", whole),
    "load_best_model_at_end": ("keep_best", base.truth),
    "label_smoothing_factor": ("label_smoothing", number),
    "report_to": ("mirror", base.tracker),
    "default_system": ("system_prompt", same),
    "disable_gradient_checkpointing": ("gradient_checkpointing", lambda value: not base.truth(value)),
}
NOT_NEEDED = frozenset(
    "do_train do_eval do_predict predict_with_generate output_dir overwrite_output_dir logging_dir logging_steps "
    "logging_strategy save_steps save_strategy save_total_limit save_only_model plot_loss overwrite_cache "
    "preprocessing_num_workers dataloader_num_workers dataloader_pin_memory ddp_timeout ddp_find_unused_parameters "
    "run_name cache_dir use_fast_tokenizer flash_attn tokenized_path eval_strategy evaluation_strategy "
    "per_device_eval_batch_size disable_tqdm include_num_input_tokens_seen use_unsloth enable_liger_kernel "
    "hf_hub_token print_param_status resume_from_checkpoint save_safetensors quantization_method double_quantization "
    "remove_unused_columns group_by_length tf32".split()
)
"""Entries without an effect on the result."""
REASONS = {
    "template": base.OWN_TEMPLATE,
    "adapter_name_or_path": "Open that adapter as a run, and then use --start-from.",
    "deepspeed": "Choose --zero 1, 2 or 3 for several GPUs.",
    "fsdp": "Choose --fsdp for several GPUs.",
    "max_samples": "Import fewer rows, for example with --row-limit.",
    "trust_remote_code": "Allow a model's own code with: studio trust MODEL.",
    "eval_dataset": "Use --validation FILE.",
    "image_max_pixels": "The studio trains on texts only.",
    "resize_vocab": "The studio keeps the vocabulary of the model.",
    "additional_target": "Choose the method lora-embeddings to train the embeddings.",
    "use_galore": "The studio has no GaLore. Full fine-tuning with adafactor needs little memory, too.",
}
COLUMN_ROLES = {
    "prompt": "prompt",
    "query": "context",
    "response": "reply",
    "history": "history",
    "messages": "messages",
    "system": "system",
    "tools": "tools",
    "chosen": "chosen",
    "rejected": "rejected",
    "kto_tag": "thumb",
}
"""Column in a dataset definition → role."""
DEFINITIONS = "dataset_info.json"
FOLDER = "_folder"
"""Key under which the folder of the definitions is added to each of them."""


def convert(entries: Mapping[str, Any], folder: Path | None) -> ImportedConfig:
    """Convert the entries of a settings file. Its dataset definitions are looked for in `folder`, if it is given."""
    draft = Draft(NAME, entries)
    stage = str(draft.take("stage") or "sft")
    if stage in TASKS:
        draft.settings["task"] = TASKS[stage]
        if "stage" in entries:
            draft.note("stage", "task")
    else:
        draft.refuse("stage", "The studio has no such training. Valid: sft, pt, dpo and kto.")
    _method(draft)
    _precision(draft)
    if entries.get("disable_gradient_checkpointing") is None:
        draft.used.add("disable_gradient_checkpointing")
    if entries.get("do_eval") is False or str(entries.get("eval_strategy", "")) == "no":
        draft.take("eval_steps")
    draft.apply(RULES)
    _data(draft, folder)
    return draft.finish(NOT_NEEDED, REASONS)


def _method(draft: Draft) -> None:
    kind, bits = str(draft.take("finetuning_type") or "lora"), draft.take("quantization_bit")
    methods = {"lora": "lora", "full": "full", "freeze": "last-layers"}
    if kind not in methods:
        draft.refuse("finetuning_type", "The studio has no such method. Valid: lora, full and freeze.")
        return
    method = methods[kind]
    if bits is not None:
        if str(bits) in ("4", "8"):
            method = "qlora"
            draft.put("quantization_bit", "quantization", f"{bits}-bit")
        else:
            draft.refuse("quantization_bit", "The studio quantizes to 4 or 8 bits.")
    draft.settings["method"] = base.lora_variant(draft, method, {"use_dora": "dora", "use_rslora": "rslora"})
    if "finetuning_type" in draft.entries:
        draft.note("finetuning_type", "method")


def _precision(draft: Draft) -> None:
    for name, precision in (("bf16", "bfloat16"), ("pure_bf16", "bfloat16"), ("fp16", "float16")):
        if draft.take(name) is True:
            draft.put(name, "precision", precision)


def _data(draft: Draft, folder: Path | None) -> None:
    names, place = draft.take("dataset"), draft.take("dataset_dir") or "data"
    if not names:
        return
    definitions = definitions_in(folder, str(place))
    if definitions is None:
        draft.refuse("dataset", f"There is no file {DEFINITIONS} with its dataset definitions. Give the data yourself.")
        return
    dataset_names = [str(each).strip() for each in (names if isinstance(names, list) else str(names).split(","))]
    for name in dataset_names:
        data = dataset_of(definitions, name, draft.settings.get("task", ""))
        if data is None:
            draft.refuse(
                "dataset", f"The dataset {name} has no file or Hub name in {DEFINITIONS} that can be used here."
            )
        else:
            draft.data.append(data)
            draft.note("dataset", "data")


def definitions_in(folder: Path | None, place: str) -> dict[str, Any] | None:
    """Return the dataset definitions beside a settings file, or in its data folder. None if there are none."""
    if folder is None:
        return None
    for name in (f"{place}/{DEFINITIONS}", DEFINITIONS):
        if path := local_file(folder, name):
            try:
                value = json.loads(read_text(path))
            except (ValueError, RecursionError) as error:
                raise StudioError(
                    "unreadable-file",
                    "The file with the dataset definitions is not JSON.",
                    given=path.name,
                    hint="Correct it, or move it to another folder.",
                ) from error
            entries = value.items() if isinstance(value, dict) else ()
            return {
                key: {**each, FOLDER: Path(name).parent.as_posix()} for key, each in entries if isinstance(each, dict)
            }
    return None


def dataset_of(definitions: Mapping[str, Any], name: str, task: str) -> ImportedData | None:
    """Return the data of a definition, with the roles of its columns. None if it names no usable file."""
    definition = definitions.get(name)
    if not isinstance(definition, dict):
        return None
    columns = definition.get("columns") or {}
    roles = {str(column): COLUMN_ROLES[key] for key, column in columns.items() if key in COLUMN_ROLES and column}
    if task == "completion":
        roles = {column: "text" for column, role in roles.items() if role == "prompt"}
    if isinstance(hub := definition.get("hf_hub_url"), str):
        on_hub = base.hub_place(hub, definition.get("subset"), definition.get("split"))
        return ImportedData(path=on_hub, roles=roles)
    file = definition.get("file_name")
    if not isinstance(file, str) or leads_outside(file):
        return None
    place = Path(definition.get(FOLDER, ".")) / file
    return ImportedData(path=place.as_posix(), roles=roles)
