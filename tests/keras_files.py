"""The files of a Keras preset without real weights: enough for what is read before a conversion."""

import json
from pathlib import Path
from typing import Any

DTYPE = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}
SETTINGS = {
    "name": "backbone",
    "trainable": True,
    "dtype": DTYPE,
    "vocabulary_size": 300,
    "num_layers": 2,
    "num_heads": 4,
    "hidden_dim": 32,
    "intermediate_dim": 64,
    "max_sequence_length": 128,
}


def described(class_name: str, **settings: Any) -> dict[str, Any]:
    """An object as Keras describes it."""
    return {
        "module": "keras_hub.src.models.some",
        "class_name": class_name,
        "config": settings,
        "registered_name": f"keras_hub>{class_name}",
    }


def preset_bytes(backbone: str = "GPT2Backbone", **settings: Any) -> dict[str, bytes]:
    """Name → content of the files of a preset. `settings` are those of the backbone."""
    own = backbone.replace("Backbone", "Tokenizer")
    tokenizer = described(own, name="tokenizer", config_file="tokenizer.json", dtype=DTYPE)
    return {
        "config.json": json.dumps(described(backbone, **{**SETTINGS, **settings})).encode(),
        "tokenizer.json": json.dumps(tokenizer).encode(),
        "metadata.json": b"{}",
        "model.weights.h5": bytes(20_000),
        "assets/tokenizer/vocabulary.json": b"{}",
        "assets/tokenizer/merges.txt": b"",
    }


def preset_folder(folder: Path, backbone: str = "GPT2Backbone", **settings: Any) -> Path:
    """The same files in a new folder."""
    for name, data in preset_bytes(backbone, **settings).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder
