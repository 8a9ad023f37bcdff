"""Folders with TensorFlow weights as transformers 4 saved them (`tf_model.h5`), before their conversion."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.models.downloads.hub_files import OTHERS
from studio.models.inspect import read_json
from studio.schema.errors import StudioError

WEIGHTS, INDEX = "tf_model.h5", "tf_model.h5.index.json"
SHARD = re.compile(r"tf_model-\d{5}-of-\d{5}\.h5")
MAX_FILE_BYTES = 200_000_000
"""Of a tokenizer file or a config."""
CLASS = re.compile(r"(?:TF)?([A-Z]\w{2,80})", re.ASCII)


@dataclass(frozen=True)
class TensorFlowCheckpoint:
    """TensorFlow weights with a config of transformers."""

    architecture: str
    """Class in transformers, without "TF"."""
    config: Mapping[str, Any]
    weights: tuple[str, ...]
    files: tuple[str, ...]
    """Names of all files that the conversion needs."""
    bytes: int
    """Of the weights."""

    @property
    def parameters(self) -> int:
        """Approximate number of parameters: TensorFlow weights of transformers have 32 bits."""
        return self.bytes // 4


def read_checkpoint(folder: Path) -> TensorFlowCheckpoint | None:
    """Return the checkpoint in a folder. None without TensorFlow weights, or without the class of the model.

    Raises:
        StudioError: `unsafe-model` for a model with its own code, `broken-model` if a file is missing.
    """
    config = read_json(folder / "config.json")
    names = config.get("architectures")
    match = CLASS.fullmatch(str(names[0])) if isinstance(names, list) and names else None
    weights = _weights(folder)
    if not weights or match is None:
        return None
    tokenizer_config = read_json(folder / "tokenizer_config.json")
    if "auto_map" in config or "auto_map" in tokenizer_config:
        raise StudioError(
            "unsafe-model",
            "A TensorFlow model with its own Python code is not converted.",
            given=folder,
            hint="Choose a model of an architecture that transformers knows.",
            field="model",
        )
    others = [each for each in sorted(folder.iterdir()) if each.is_file() and OTHERS.fullmatch(each.name)]
    for each in others:
        if each.stat().st_size > MAX_FILE_BYTES:
            raise StudioError(
                "too-large",
                f"The file {each.name} is too large for a config or a tokenizer.",
                given=folder,
                valid=f"at most {MAX_FILE_BYTES // 1_000_000} MB",
                field="model",
            )
    return TensorFlowCheckpoint(
        architecture=match[1],
        config=config,
        weights=tuple(weights),
        files=tuple(dict.fromkeys([*weights, *(each.name for each in others)])),
        bytes=sum((folder / name).stat().st_size for name in weights),
    )


def _weights(folder: Path) -> list[str]:
    """Return the names of the files with weights. Empty if there are none."""
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    places = read_json(folder / INDEX).get("weight_map")
    names = {str(name) for name in places.values()} if isinstance(places, dict) else set()
    for name in names:
        if SHARD.fullmatch(name) is None or not (folder / name).is_file():
            raise StudioError(
                "broken-model",
                f"{INDEX} names a file that is missing, or that is not part of it.",
                given=folder,
                hint="Download the model again.",
                field="model",
            )
    return sorted(names)
