"""Names and shapes in safetensors files, from their headers. No weights are loaded."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.schema.errors import StudioError

LONGEST_HEADER = 100_000_000
"""Maximum bytes of a header, as in the safetensors library."""
COUNTED = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
"""Number formats of weights. Integers and booleans are indices and masks, or packed quantized weights."""
PACKED = {("weight", "U8"): 2, ("weight", "I8"): 1, ("qweight", "I32"): 8}
"""Last part of a name and number format → weights per integer, for bitsandbytes, GPTQ and AWQ."""
BUFFERS = tuple(
    "position_ids inv_freq masked_bias absmax quant_map nested_absmax nested_quant_map SCB scales weight_scale "
    "weight_scale_inv".split()
)
"""Tensors that are not weights: masks, and the scales of a quantized model."""
DTYPE_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
"""Bytes per number. Other formats have one."""


@dataclass(frozen=True)
class Weights:
    """All tensors of a model folder."""

    shapes: dict[str, tuple[int, ...]]
    bytes: int
    packed: int = 0
    """Number of weights that a quantized model packs into integers."""

    def parameters(self, tied: bool) -> int:
        """Return the number of parameters. An output layer tied to the embedding counts once."""
        total = self.packed + sum(math.prod(shape) for shape in self.shapes.values())
        if tied and any(name.endswith(("embed_tokens.weight", "wte.weight", "shared.weight")) for name in self.shapes):
            total -= math.prod(self.shapes.get("lm_head.weight", (0,)))
        return total


def read_weights(folder: Path) -> Weights:
    """Return names and shapes of a folder's safetensors. Raise `StudioError` if a shard is missing or damaged."""
    files = weight_files(folder)
    shapes: dict[str, tuple[int, ...]] = {}
    packed = 0
    for file in files:
        for name, entry in header_of(file).items():
            if name != "__metadata__" and _is_parameter(name, entry):
                shapes[name] = tuple(entry["shape"])
            else:
                packed += math.prod(entry["shape"]) * PACKED.get((name.rpartition(".")[2], entry["dtype"]), 0)
    return Weights(shapes, sum(file.stat().st_size for file in files), packed)


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder. Empty if there are none."""
    index = folder / "model.safetensors.index.json"
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    if not index.is_file():
        return []
    try:
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise _broken(index, "The index of the weight files can't be read.") from error
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise _broken(folder / Path(str(name)).name, "A weight file is missing.")
    return [folder / name for name in names]


def _is_parameter(name: str, tensor: dict[str, Any]) -> bool:
    if name.rpartition(".")[2] in BUFFERS or (name.endswith(".attn.bias") and len(tensor["shape"]) == 4):
        return False
    return tensor["dtype"] in COUNTED


def header_of(file: Path) -> dict[str, dict[str, Any]]:
    """Return the header of a safetensors file. Raise `StudioError` if it is damaged or the file is too short."""
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(LONGEST_HEADER, size):
                raise ValueError("the header is longer than the file")
            header = json.loads(stream.read(length))
        tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
        ends = [entry["data_offsets"][1] for entry in tensors.values()]
        if any(not isinstance(entry["shape"], list) or "dtype" not in entry for entry in tensors.values()):
            raise ValueError("a tensor has no shape")
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise _broken(file, "The weights can't be read. They are damaged, or not in the safetensors format.") from error
    if 8 + length + max(ends, default=0) > size:
        raise _broken(file, "The weights are incomplete. The file is shorter than its header says.")
    return tensors


def _broken(file: Path, what: str) -> StudioError:
    return StudioError("broken-model", what, given=file.name, hint="Download the model again.")
