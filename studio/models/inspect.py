"""Inspection of a model folder before loading: config, tokenizer, weight headers, model card. No torch."""

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from studio.models.architectures import architecture_of, context_of, kind_of, size_of
from studio.models.conversion.foreign_weights import TRANSFORMERS_FOLDER, check_foreign
from studio.models.fingerprint import fingerprint_of
from studio.models.weights import Weights, read_weights
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo, ModelSource

TOKENIZERS: tuple[tuple[str, ...], ...] = (
    ("tokenizer.json",),
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    ("spiece.model",),
    ("tokenizer.model",),
    ("sentencepiece.bpe.model",),
    ("spm.model",),
    ("source.spm", "target.spm", "vocab.json"),
)
"""Sets of files, each of which is a tokenizer."""
BYTE_LEVEL = ("ByT5Tokenizer", "CanineTokenizer")
"""Tokenizers that use byte or character codes and have no vocabulary file."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
LONGEST_JSON = 50_000_000
"""Maximum bytes of a config file."""
_State = tuple[tuple[object, ...], ...]


def inspect_folder(path: str | Path, name: str = "", title: str = "", source: ModelSource = "folder") -> ModelInfo:
    """Return the description of the model in a folder. Raise `StudioError` `broken-model` for missing files.

    `needs_trust` is set for pickled weights and for models with their own code.
    """
    folder = Path(path).expanduser().absolute()
    # Pages and plans ask for the same model again and again. Code in subfolders is no part of the state, only of the
    # fingerprint, which is never cached.
    info = _inspected(folder, _state(folder), name, title, source)
    if info.needs_trust:
        pickles = [] if read_weights(folder).shapes else pickled_files(folder)
        info = info.model_copy(update={"fingerprint": fingerprint_of(folder, pickles)})
    return info


def _state(folder: Path) -> _State:
    """Name, inode, size and time of change of each entry: a folder with other values has changed."""
    if not folder.is_dir():
        return ()
    with os.scandir(folder) as entries:
        stats = {entry.name: os.stat(entry.path, follow_symlinks=os.path.exists(entry.path)) for entry in entries}
    return tuple((name, each.st_ino, each.st_size, each.st_mtime_ns) for name, each in sorted(stats.items()))


@lru_cache(maxsize=256)
def _inspected(folder: Path, _: _State, name: str, title: str, source: ModelSource) -> ModelInfo:
    """Return the description, without a fingerprint."""
    if not any(folder.glob("*.safetensors")) and not pickled_files(folder):
        check_foreign(folder)
    config = _config(folder)
    tokenizer_config = read_json(folder / "tokenizer_config.json")
    weights = read_weights(folder)
    pickles = [] if weights.shapes else pickled_files(folder)
    _check_complete(folder, bool(weights.shapes or pickles))
    card = read_card(folder / "README.md")
    return ModelInfo(
        name=name or str(folder.resolve()),
        title=title or folder.resolve().name,
        source=source,
        kind=kind_of(config),
        architecture=architecture_of(config),
        path=str(folder.resolve()),
        origin=str(folder.resolve()),
        parameters=_parameters(config, weights, pickles),
        bytes=weights.bytes or sum(file.stat().st_size for file in pickles),
        licence=card["licence"],
        languages=card["languages"],
        context=context_of(config, tokenizer_config),
        has_chat_template=has_chat_template(folder, tokenizer_config),
        here=True,
        needs_trust=trust_reason(config, tokenizer_config, bool(weights.shapes)),
        quantized=quantized_by(config),
        note="Its weights are already quantized. You can train an adapter (LoRA) on it, but not the weights themselves."
        if quantized_by(config)
        else "",
        **size_of(config),
    )


def trust_reason(config: dict[str, Any], tokenizer_config: dict[str, Any], has_safetensors: bool) -> str:
    """Return why loading would run the model's code or unpickle. Empty if it would not."""
    reasons = []
    if "auto_map" in config or "auto_map" in tokenizer_config:
        reasons.append("It has its own Python code, which would run on this machine with all your permissions.")
    if not has_safetensors:
        reasons.append("Its weights are pickle files, which can run any program when they are loaded.")
    return " ".join(reasons)


def quantized_by(config: dict[str, Any]) -> str:
    """Return the quantization method (`bitsandbytes`, `gptq`). Empty for an unquantized model."""
    quantization = config.get("quantization_config")
    return str(quantization.get("quant_method") or "bitsandbytes") if isinstance(quantization, dict) else ""


def has_chat_template(folder: Path, tokenizer_config: dict[str, Any]) -> bool:
    """Return whether the tokenizer has a chat template."""
    files = ("chat_template.jinja", "chat_template.json")
    return bool(tokenizer_config.get("chat_template")) or any((folder / name).is_file() for name in files)


def pickled_files(folder: Path) -> list[Path]:
    """Return the pickled weight files, without files that a trainer leaves."""
    trainer_files = ("training_args", "optimizer", "scheduler", "rng_state")
    return [file for kind in PICKLES for file in sorted(folder.glob(kind)) if not file.name.startswith(trainer_files)]


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Empty if the file is missing or invalid."""
    try:
        if file.stat().st_size > LONGEST_JSON:
            return {}
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read_card(file: Path) -> dict[str, Any]:
    """Return license and languages from the front matter of a model card."""
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(200_000)
    except OSError:
        text = ""
    front_matter = re.match(r"\A---\s*\n(.*?)\n---\s*(\n|\Z)", text, re.DOTALL)
    return card_facts(_yaml(front_matter.group(1)) if front_matter else {})


def card_facts(data: dict[str, Any]) -> dict[str, Any]:
    """Return license and languages from a model card, in any of their usual forms."""
    licence, languages = data.get("license"), data.get("language")
    if isinstance(licence, list):
        licence = ", ".join(str(each) for each in licence)
    if licence == "other" and data.get("license_name"):
        licence = data["license_name"]
    if isinstance(languages, str):
        languages = [languages]
    if not isinstance(languages, list):
        languages = []
    return {"licence": str(licence or ""), "languages": tuple(str(each) for each in languages)}


def _yaml(text: str) -> dict[str, Any]:
    import yaml

    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _config(folder: Path) -> dict[str, Any]:
    """Return config.json. Raise `StudioError` with what the folder contains instead."""
    if not folder.is_dir():
        raise StudioError(
            "no-such-model",
            "The folder does not exist.",
            given=folder,
            valid="a folder with config.json, model.safetensors and a tokenizer",
        )
    config = read_json(folder / "config.json")
    if config:
        return config
    if (folder / "adapter_config.json").is_file():
        hint = "Choose the base model that the adapter was trained on, or a whole model."
        raise _broken(folder, "This folder has an adapter, not a base model.", hint=hint)
    what = "can't be read" if (folder / "config.json").exists() else "is missing"
    raise _broken(folder, f"The model folder's config.json {what}.", TRANSFORMERS_FOLDER)


def _broken(folder: Path, what: str, valid: str | None = None, hint: str = "") -> StudioError:
    return StudioError("broken-model", what, given=folder, valid=valid, hint=hint)


def _check_complete(folder: Path, has_weights: bool) -> None:
    """Raise `StudioError` for a folder without weights or without a tokenizer."""
    if not has_weights:
        hint = "Download the model again, or save it with save_pretrained."
        valid = "a folder with model.safetensors, or its shards and their index"
        raise _broken(folder, "The model folder has no weights.", valid, hint)
    is_byte_level = read_json(folder / "tokenizer_config.json").get("tokenizer_class") in BYTE_LEVEL
    if not is_byte_level and not any(all((folder / each).is_file() for each in files) for files in TOKENIZERS):
        hint = "Copy the tokenizer's files from the model's origin into this folder."
        valid = "a folder with tokenizer.json, or another tokenizer file"
        raise _broken(folder, "The model folder has no tokenizer.", valid, hint)


def width_of(config: dict[str, Any]) -> int:
    """Return how many bytes a weight has, by the number format in config.json. Without one, 4."""
    return 2 if str(config.get("dtype") or config.get("torch_dtype") or "") in ("float16", "bfloat16") else 4


def _parameters(config: dict[str, Any], weights: Weights, pickles: list[Path]) -> int:
    """Return the number of parameters, by shapes. For pickles, which are not opened, estimate it from their size."""
    if weights.shapes:
        return weights.parameters(tied=bool(config.get("tie_word_embeddings", False)))
    return sum(file.stat().st_size for file in pickles) // width_of(config)
