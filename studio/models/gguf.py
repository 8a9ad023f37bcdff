"""Conversion of a GGUF file to a folder of bfloat16 safetensors that transformers can load.

Runs as a separate process: `python -m studio.models.gguf FILE FOLDER HUB_ID`.
"""

import json
import sys
from pathlib import Path
from typing import Any

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


def convert(file: Path, folder: Path, hub_id: str) -> None:
    """Dequantize the weights, create the model without a quantization config, and save weights, tokenizer and card."""
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    source: dict[str, Any] = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
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
    model.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    _save_tokenizer(source, folder, config.max_position_embeddings)
    (folder / "README.md").write_text(
        CARD.format(hub_id=hub_id, name=hub_id.rpartition("/")[2], file=file.name), "utf-8"
    )


def _save_tokenizer(source: dict[str, Any], folder: Path, context: int) -> None:
    """Save the tokenizer with properties that the file only names: SmolLM's digit splitting, and the maximum length."""
    import transformers
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    tokenizer = transformers.AutoTokenizer.from_pretrained(**source, trust_remote_code=False)
    field = GGUFReader(source["pretrained_model_name_or_path"] / source["gguf_file"]).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
            ]
        )
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


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
