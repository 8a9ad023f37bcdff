"""How many parameters learn, from the shapes of a model's weights. Nothing is loaded."""

import re
from math import prod
from pathlib import Path

from studio.models.weights import read_weights
from studio.schema.errors import StudioError
from studio.schema.models import ModelInfo

NO_LINEAR = (
    "embed",
    "wte",
    "wpe",
    "shared.weight",
    "norm",
    "ln_",
    "lm_head",
    "score",
    "cls.",
    "classifier",
    "bias",
    "predict",
    "vocab_",
    "head.dense",
)
"""Weights of two dimensions whose names hold one of these are no linear layer that gets an adapter."""
ATTENTION = ("attn", "attention")
NUMBER = re.compile(r"\.(\d+)\.")
TEXT_ONLY = ("pooler",)
"""Layers that a model has only where it classifies."""
ROUTED = (".experts.", ".gate.weight")
"""Of a mixture of experts: transformers holds them in one block, beside which no adapter stands, and picks by one."""
STATES = ("Mamba", "FalconMamba", "FalconH1", "NemotronH")
"""How architectures begin whose way out of a layer of states (`out_proj`) PEFT refuses: their code does not call it."""


def linear_shapes(info: ModelInfo, only_attention: bool, classify: bool, frozen: int = 0) -> list[tuple[int, int]]:
    """Both sides of every linear layer that gets an adapter; none in the frozen layers."""
    shapes = _shapes(info)
    if not shapes:
        return _usual_shapes(info, only_attention, frozen)
    named = {
        name: shape
        for name, shape in shapes.items()
        if len(shape) == 2
        and name.endswith(".weight")
        and not any(part in name.lower() for part in NO_LINEAR)
        and not any(part in name for part in ROUTED)
        and not (info.architecture.startswith(STATES) and ".out_proj." in name)
        and min(shape) > 1
        and not _below(name, frozen)
    }
    if not named and info.quantised:  # packed, and their shapes with them
        return _usual_shapes(info, only_attention, frozen)
    if not classify:
        named = {name: shape for name, shape in named.items() if not any(part in name for part in TEXT_ONLY)}
    if only_attention:
        looks = {name: shape for name, shape in named.items() if any(part in name.lower() for part in ATTENTION)}
        named = looks or named
    return [(shape[0], shape[1]) for shape in named.values()]


def frozen_parameters(info: ModelInfo, below: int, and_output: bool = False) -> int:
    """Parameters of the layers below that number and of the embeddings before them; `and_output`: of the output too."""
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
        if _below(name, below) or (number_of(name) is None and any(word in name for word in words))
    )


def has_experts(info: ModelInfo) -> bool:
    """Whether a part of each layer is experts of which few are asked for a token."""
    return any(".experts." in name for name in _shapes(info))


def shares_layers(info: ModelInfo) -> bool:
    """Whether all layers are one and the same, passed again and again, as ALBERT's are."""
    return info.architecture.startswith("Albert")


def key_width(info: ModelInfo) -> int:
    """Numbers in a key of one token and layer: fewer than the model is wide where heads share them."""
    found = [shape[0] for name, shape in _shapes(info).items() if name.endswith(("k_proj.weight", "key.weight"))]
    return found[0] if found else info.hidden


def number_of(name: str) -> int | None:
    """Which layer a weight is of; None for what stands beside the layers."""
    found = NUMBER.search(name)
    return int(found.group(1)) if found else None


def _below(name: str, layer: int) -> bool:
    number = number_of(name)
    return number is not None and number < layer


def _shapes(info: ModelInfo) -> dict[str, tuple[int, ...]]:
    """Shapes of all weights by name; none of a model that is not here."""
    if not info.path:
        return {}
    try:
        return dict(read_weights(Path(info.path)).shapes)
    except StudioError:
        return {}


def _usual_shapes(info: ModelInfo, only_attention: bool, frozen: int) -> list[tuple[int, int]]:
    """Four square layers of attention, and the rest as its kind has it: three where text is written, else two."""
    attention = [(info.hidden, info.hidden)] * 4
    rest = [(info.hidden, info.intermediate)] * (2 if info.kind == "encoder" else 3)
    return (attention if only_attention else attention + rest) * max(info.layers - frozen, 0)


DEEP = (
    "roberta",
    "xlmroberta",
    "camembert",
    "electra",
    "distilbert",
    "deberta",
    "mpnet",
    "longformer",
    "modernbert",
)
"""How architectures begin, in small letters, whose new head has one more layer before the labels."""


def head_parameters(info: ModelInfo, labels: int) -> int:
    """A classifier's new layer; those of RoBERTa's kind and others have one more."""
    if not labels:
        return 0
    if info.kind == "causal":
        return info.hidden * labels
    deep = info.architecture.lower().startswith(DEEP)
    return info.hidden * labels + labels + (info.hidden * (info.hidden + 1) if deep else 0)
