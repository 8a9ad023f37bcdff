"""Conversion of a GGUF file to a folder of bfloat16 safetensors that transformers can load.

Both functions are called through `run_in_process`: `convert` for a starter, `convert_base` for a file that the owner
names.
"""

import json
import re
from pathlib import Path
from typing import Any

from studio.schema.errors import StudioError

CARD = """---
license: apache-2.0
language:
- en
library_name: transformers
pipeline_tag: text-generation
base_model: {hub_id}
---

# {name}

The weights of {hub_id}, turned from the 4-bit file {file} into bfloat16 safetensors by Fine-tune Studio. They differ
a little from the original ones.
"""

BASE_CARD = """---
license: {license}
library_name: transformers
pipeline_tag: text-generation
---

# {name}

The weights of the GGUF file {file}, converted to bfloat16 safetensors by Fine-tune Studio.
"""
CONTROL_TOKENS = (3, 4)
"""Types of tokens in a GGUF file that are never split: control tokens and those that a user defined."""


def convert(file: str, folder: str, hub_id: str) -> None:
    """Dequantize the weights, create the model without a quantization config, and save weights, tokenizer and card."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    path, target = Path(file), Path(folder)
    source: dict[str, Any] = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    loaded = transformers.AutoModelForCausalLM.from_pretrained(
        **source,
        dtype=torch.float32,
        trust_remote_code=False,
        quantization_config=transformers.GgufConfig(dequantize=True),
    )
    values = loaded.config.to_dict()
    for name in ("quantization_config", "_model_name_or_path", "unk_token_id"):
        values.pop(name, None)
    # The file has 1e-05 as the nearest 32-bit number.
    values["rms_norm_eps"] = float(f"{values['rms_norm_eps']:.6g}")
    config = type(loaded.config)(**{**values, "dtype": "bfloat16"})
    model: Any = type(loaded)(config)
    model.to(torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    # As in the original: greedy by default, ending with the end-of-turn token.
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=config.bos_token_id, eos_token_id=config.eos_token_id, pad_token_id=config.pad_token_id
    )
    model.save_pretrained(target)
    (target / "model.safetensors").chmod(0o644)
    _save_tokenizer(source, target, config.max_position_embeddings)
    card = CARD.format(hub_id=hub_id, name=hub_id.rpartition("/")[2], file=path.name)
    (target / "README.md").write_text(card, "utf-8")


def _save_tokenizer(source: dict[str, Any], folder: Path, context: int) -> None:
    """Save the tokenizer with properties that the file only names: SmolLM's digit splitting, and the maximum length."""
    import transformers
    from gguf import GGUFReader

    tokenizer = transformers.AutoTokenizer.from_pretrained(**source, trust_remote_code=False)
    reader = GGUFReader(source["pretrained_model_name_or_path"] / source["gguf_file"])
    _split_digits(tokenizer, reader)
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    for name in ("is_local", "local_files_only", "backend", "name_or_path", "gguf_file"):
        config.pop(name, None)
    config |= {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "additional_special_tokens": [tokenizer.bos_token, tokenizer.eos_token],
    }
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _split_digits(tokenizer: Any, reader: Any) -> None:
    """Split numbers into digits, as SmolLM does. transformers does not read this from the file."""
    from tokenizers import pre_tokenizers

    field = reader.get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
            ]
        )


def convert_base(file: str, folder: str, license_name: str) -> None:
    """Dequantize a GGUF file that the owner names, and save model, tokenizer and card to a new folder.

    The header must have been checked (`read_gguf_header`). Raise `StudioError` if weights are missing in the file.
    """
    import torch
    import transformers
    from gguf import GGUFReader

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    path, target = Path(file), Path(folder)
    source: dict[str, Any] = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
        **source,
        dtype=torch.bfloat16,
        trust_remote_code=False,
        quantization_config=transformers.GgufConfig(dequantize=True),
        output_loading_info=True,
    )
    model, loading = loaded
    missing = sorted(str(name) for name in [*loading["missing_keys"], *loading["mismatched_keys"]])
    if missing:
        raise StudioError(
            "broken-model",
            "The GGUF file lacks weights of the model.",
            given=", ".join(missing[:3])[:300],
            hint="Download the file again, or choose the original model.",
            field="model",
        )
    values = model.config.to_dict()
    for name in ("quantization_config", "_model_name_or_path"):
        values.pop(name, None)
    # The file has 1e-05 as the nearest 32-bit number.
    values |= {name: float(f"{value:.6g}") for name, value in values.items() if name.endswith(("_eps", "_epsilon"))}
    model.config = type(model.config)(**{**values, "dtype": "bfloat16"})
    ends = {f"{name}_token_id": getattr(model.config, f"{name}_token_id", None) for name in ("bos", "eos", "pad")}
    model.generation_config = transformers.GenerationConfig(**ends)
    for attribute in ("hf_quantizer", "quantization_method"):
        if hasattr(model, attribute):
            delattr(model, attribute)
    model.is_quantized = False
    model.save_pretrained(target)
    _save_base_tokenizer(source, target, GGUFReader(path), getattr(model.config, "max_position_embeddings", 0))
    allowed = re.fullmatch(r"[\w.-]{1,60}", license_name, re.ASCII)
    name = re.sub(r"[^\w.-]", "_", path.stem)
    card = BASE_CARD.format(license=license_name.lower() if allowed else "unknown", name=name, file=f"{name}.gguf")
    (target / "README.md").write_text(card, "utf-8")


def _save_base_tokenizer(source: dict[str, Any], folder: Path, reader: Any, context: int) -> None:
    """Save the tokenizer. Control tokens such as <|im_end|> are one token each, whatever surrounds them."""
    import transformers
    from tokenizers import AddedToken

    tokenizer = transformers.AutoTokenizer.from_pretrained(**source, trust_remote_code=False)
    _split_digits(tokenizer, reader)
    tokens, kinds = (reader.get_field(f"tokenizer.ggml.{name}") for name in ("tokens", "token_type"))
    if kinds is not None:
        texts, types = tokens.contents(), kinds.contents()
        control = [text for text, kind in zip(texts, types, strict=True) if kind in CONTROL_TOKENS]
        before = len(tokenizer)
        tokenizer.add_tokens([AddedToken(text, special=True, normalized=False) for text in control])
        if len(tokenizer) != before:
            raise StudioError(
                "broken-model",
                "The tokenizer of the GGUF file can't be read.",
                given=folder.name,
                hint="Choose the original model in place of the GGUF file.",
            )
    if context:
        tokenizer.model_max_length = context
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    for name in ("is_local", "local_files_only", "backend", "name_or_path", "gguf_file"):
        config.pop(name, None)
    path.write_text(json.dumps({**config, "tokenizer_class": "PreTrainedTokenizerFast"}, indent=2) + "\n", "utf-8")
