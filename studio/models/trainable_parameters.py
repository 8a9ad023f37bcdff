"""The number of trainable parameters, from the shapes of a model's weights. Nothing is loaded."""

import re
from collections.abc import Mapping
from functools import lru_cache
from math import prod
from pathlib import Path

from studio.models.weights import read_weights, weight_files
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo

NO_LINEAR = tuple(
    "embed wte wpe shared.weight norm ln_ lm_head score cls. classifier bias predict vocab_ head.dense".split()
)
"""Weights with two dimensions whose names contain one of these are not linear layers for adapters."""
ATTENTION = ("attn", "attention")
NUMBER = re.compile(r"\.(\d+)\.")
TEXT_ONLY = ("pooler",)
"""Layers that only a classification model has."""
ROUTED = (".experts.", ".gate.weight")
"""Expert weights. transformers stores them as one block without adapter support, and the gate is not adapted."""
STATES = ("Mamba", "FalconMamba", "FalconH1", "NemotronH")
"""Prefixes of state-space architectures. PEFT can't adapt their `out_proj`, because their code does not call it."""


def linear_shapes(info: ModelInfo, only_attention: bool, classify: bool, frozen: int = 0) -> list[tuple[int, int]]:
    """Return (rows, columns) of every linear layer that gets an adapter. Frozen layers are left out."""
    # A plan asks for the same shapes again and again: for each method and each kind of memory.
    return list(_linear_shapes(info, _version(info), only_attention, classify, frozen))


@lru_cache(maxsize=256)
def _linear_shapes(
    info: ModelInfo, version: tuple[object, ...], only_attention: bool, classify: bool, frozen: int
) -> list[tuple[int, int]]:
    shapes = _shapes(info)
    if not shapes:
        return _typical_shapes(info, only_attention, frozen)
    named = {
        name: shape
        for name, shape in shapes.items()
        if len(shape) == 2
        and name.endswith(".weight")
        and not any(part in name.lower() for part in NO_LINEAR)
        and not any(part in name for part in ROUTED)
        and not (info.architecture.startswith(STATES) and ".out_proj." in name)
        and min(shape) > 1
        and not _is_below(name, frozen)
    }
    if not named and info.quantized:  # quantized weights are packed, so their shapes differ
        return _typical_shapes(info, only_attention, frozen)
    if not classify:
        named = {name: shape for name, shape in named.items() if not any(part in name for part in TEXT_ONLY)}
    if only_attention:
        attention = {name: shape for name, shape in named.items() if any(part in name.lower() for part in ATTENTION)}
        named = attention or named
    return [(shape[0], shape[1]) for shape in named.values()]


def frozen_parameters(info: ModelInfo, below: int, and_output: bool = False) -> int:
    """Return the number of parameters below a layer and in the embeddings, optionally also in the output layer."""
    if below <= 0 and not and_output:
        return 0
    embeddings = info.vocabulary * info.hidden
    shapes = _shapes(info)
    if not shapes:
        rest = max(info.parameters - embeddings, 0)
        return embeddings + round(rest * min(below, info.layers) / max(info.layers, 1))
    words = ("embed", "wte", "wpe", *(("lm_head", "embed_out") if and_output else ()))
    return sum(
        prod(shape)
        for name, shape in shapes.items()
        if _is_below(name, below) or (layer_number(name) is None and any(word in name for word in words))
    )


def has_experts(info: ModelInfo) -> bool:
    """Return whether the model is a mixture of experts."""
    return any(".experts." in name for name in _shapes(info))


def shares_layers(info: ModelInfo) -> bool:
    """Return whether all layers share their weights, as in ALBERT."""
    return info.architecture.startswith("Albert")


def key_width(info: ModelInfo) -> int:
    """Return the key width of one token and layer. It is less than the hidden size if heads share keys."""
    shapes_ = [shape[0] for name, shape in _shapes(info).items() if name.endswith(("k_proj.weight", "key.weight"))]
    return shapes_[0] if shapes_ else info.hidden


def layer_number(name: str) -> int | None:
    """Return the number of the layer that a weight belongs to. None outside the layers."""
    match = NUMBER.search(name)
    return int(match.group(1)) if match else None


def _is_below(name: str, layer: int) -> bool:
    number = layer_number(name)
    return number is not None and number < layer


def _shapes(info: ModelInfo) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes of all weights by name. Empty for a model that is not downloaded."""
    return _read_shapes(info.path, _version(info)) if info.path else {}


@lru_cache(maxsize=16)
def _read_shapes(path: str, version: tuple[object, ...]) -> Mapping[str, tuple[int, ...]]:
    try:
        return read_weights(Path(path)).shapes
    except StudioError:
        return {}


def _version(info: ModelInfo) -> tuple[object, ...]:
    """Names, times and sizes of the weight files, which change when a model is downloaded or replaced."""
    if not info.path:
        return ()
    try:
        known = [(file.name, file.stat()) for file in weight_files(Path(info.path))]
    except (StudioError, OSError):
        return ()
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in known)


def _typical_shapes(info: ModelInfo, only_attention: bool, frozen: int) -> list[tuple[int, int]]:
    """Return typical shapes: four square attention layers, and two (encoder) or three (decoder) feed-forward layers."""
    attention = [(info.hidden, info.hidden)] * 4
    rest = [(info.hidden, info.intermediate)] * (2 if info.kind == "encoder" else 3)
    return (attention if only_attention else attention + rest) * max(info.layers - frozen, 0)


TWO_LAYER_HEADS = tuple("roberta xlmroberta camembert electra distilbert deberta mpnet longformer modernbert".split())
"""Prefixes, in lower case, of architectures whose new head has an extra layer before the labels."""


def head_parameters(info: ModelInfo, labels: int) -> int:
    """Return the number of parameters of a new classification head. Some architectures have an extra layer."""
    if not labels:
        return 0
    if info.kind == "causal":
        return info.hidden * labels
    has_extra_layer = info.architecture.lower().startswith(TWO_LAYER_HEADS)
    return info.hidden * labels + labels + (info.hidden * (info.hidden + 1) if has_extra_layer else 0)
