"""Adapter folders of other tools: read with limits, checked, and compared with base models. No torch, no pickle."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.models.inspect import read_json
from studio.models.weights import header_of, read_weights
from studio.schema.errors import StudioError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PICKLES = ("adapter_model.bin", "adapter_model.pt", "pytorch_model.bin")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_.]+")
PREFIX = "base_model.model."
"""Begin of the names of all weights in an adapter."""
DTYPES = ("F32", "F16", "BF16")
MOST_RANK, MOST_ALPHA = 1024, 4096
"""Limits of the studio's own settings."""
MUST_BE_EMPTY = (
    "megatron_config",
    "layer_replication",
    "use_qalora",
    "alora_invocation_tokens",
    "arrow_config",
    "alpha_pattern",
    "target_parameters",
    "trainable_token_indices",
    "lora_bias",
)
"""Entries that change what an adapter computes, and that the studio does not read."""
KEEPING_BASE = ("gaussian", "eva", "orthogonal", "mica")
"""Values of `init_lora_weights` that leave the base model's weights as they are. The adapters of others, such as PiSSA
and LoftQ, belong to a base model with changed weights."""
LARGEST = 50_000_000_000
"""Maximum bytes of the weights of an adapter."""


@dataclass(frozen=True)
class AdapterFolder:
    """An adapter folder of another tool, checked."""

    path: Path
    base: str
    """Hub id of the base model. Empty if the folder names only a path, which is not followed."""
    revision: str | None
    config: dict[str, Any]
    """A clean config for PEFT, without the base model."""
    shapes: Mapping[str, tuple[int, ...]]
    """Name of a weight → its shape."""

    @property
    def rank(self) -> int:
        return int(self.config["r"])

    @property
    def method(self) -> str:
        """The method of the studio that makes such adapters."""
        return "dora" if self.config["use_dora"] else "rslora" if self.config["use_rslora"] else "lora"

    def misfit(self, base: Path) -> str:
        """Return the first weight that does not fit the model in a folder, or "" if all fit.

        The shape of a layer tells its width, so an adapter of a larger or smaller model does not fit.
        """
        shapes = read_weights(base).shapes
        for module in self.config["target_modules"]:
            size = (self._shape(module, "lora_B")[0], self._shape(module, "lora_A")[1])
            found = _shape_of_layer(module, shapes)
            if found is None:
                return f"the layer {module} does not exist in it"
            if found not in (size, size[::-1]):
                return f"the layer {module} is {found[0]:,} × {found[1]:,} there and {size[0]:,} × {size[1]:,} here"
        for name, shape in self.shapes.items():
            module = name.removeprefix(PREFIX).removesuffix(".weight")
            if "lora_" not in name and _shape_of_layer(module, shapes) not in (None, shape):
                return f"the vocabulary of {module} has another size"
        return ""

    def _shape(self, module: str, part: str) -> tuple[int, ...]:
        return self.shapes[f"{PREFIX}{module}.{part}.weight"]


def read_adapter(folder: Path) -> AdapterFolder:
    """Read and check an adapter folder. Only its config and its safetensors file are opened.

    Raises:
        StudioError: `broken-model` with what is missing or not supported, `unsafe-model` for pickles.
    """
    if not folder.is_dir():
        raise _broken("There is no such folder.", folder.name, f"a folder with {CONFIG} and {WEIGHTS}")
    config, file = read_json(folder / CONFIG), folder / WEIGHTS
    if not config:
        raise _broken(f"The folder has no {CONFIG} that can be read.", folder.name, _valid())
    if not file.is_file():
        pickle = next((name for name in PICKLES if (folder / name).is_file()), "")
        if pickle:
            raise StudioError(
                "unsafe-model",
                "The weights of this adapter are a pickle file, which can run any program when it is loaded.",
                given=pickle,
                valid=WEIGHTS,
                hint="Save the adapter again with safe_serialization=True, in the tool that made it.",
            )
        raise _broken(f"The folder has no {WEIGHTS}.", ", ".join(_names(folder)), _valid())
    if file.stat().st_size > LARGEST:
        raise _broken("The weights of this adapter are too large.", f"{file.stat().st_size:,} bytes")
    _require_supported(config)
    tensors = header_of(file)
    strange = next((name for name, entry in tensors.items() if entry["dtype"] not in DTYPES), "")
    if strange:
        raise _broken("A weight of the adapter has a number format that is not supported.", strange, ", ".join(DTYPES))
    shapes = {name: tuple(entry["shape"]) for name, entry in tensors.items()}
    named = str(config.get("base_model_name_or_path") or "")
    revision = config.get("revision")
    return AdapterFolder(
        folder,
        named if HUB_ID.fullmatch(named) and not (folder / named).exists() else "",
        revision if isinstance(revision, str) and PLAIN_NAME.fullmatch(revision) else None,
        _clean_config(config, shapes),
        shapes,
    )


def _require_supported(config: Mapping[str, Any]) -> None:
    kind, task = str(config.get("peft_type")), str(config.get("task_type"))
    if kind != "LORA":
        raise _broken("This kind of adapter is not supported.", f"peft_type {kind}", "LORA, also as DoRA and rsLoRA")
    if task not in ("CAUSAL_LM", "None"):
        hint = "Its labels are not in the folder. Train a classifier here, on the same rows."
        raise _broken("Only adapters of generative models can be opened.", f"task_type {task}", "CAUSAL_LM", hint)
    for name in MUST_BE_EMPTY:
        if config.get(name):
            raise _broken("The adapter has a setting that the studio does not support.", name)
    begun = config.get("init_lora_weights")
    if isinstance(begun, str) and begun.lower() not in KEEPING_BASE:
        given, valid = f"init_lora_weights {begun}", ", ".join(KEEPING_BASE)
        raise _broken("The adapter has a setting that the studio does not support.", given, valid)


def _clean_config(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return a config with the layers and ranks of the weights themselves. Patterns of the file are not used, because
    a pattern can take forever to match."""
    ranks: dict[str, int] = {}
    for name, shape in shapes.items():
        if name.endswith(".lora_A.weight") and name.startswith(PREFIX):
            module = name.removeprefix(PREFIX).removesuffix(".lora_A.weight")
            other = shapes.get(f"{PREFIX}{module}.lora_B.weight")
            if len(shape) != 2 or other is None or len(other) != 2 or other[1] != shape[0]:
                raise _broken("The weights of the adapter do not belong together.", module)
            if not PLAIN_NAME.fullmatch(module):
                raise _broken("A layer of the adapter has a name that is not supported.", module)
            ranks[module] = shape[0]
    if not ranks:
        raise _broken("The adapter has no LoRA weights.", ", ".join(list(shapes)[:3]), f"{PREFIX}….lora_A.weight")
    others = {name for name in shapes if not re.search(r"\.lora_(A|B|magnitude_vector)(\.weight)?$", name)}
    saved = sorted({name.removeprefix(PREFIX).rpartition(".")[0].rpartition(".")[2] for name in others})
    unread = next((name for name in sorted(others) if ".lora_" in name), "")  # of embeddings
    strange = unread or next(
        (name for name in saved if name not in ("lm_head", "embed_tokens", "wte", "embed_out")), ""
    )
    if strange:
        raise _broken("The adapter has weights besides LoRA that are not supported.", strange, "lm_head, embed_tokens")
    if max(ranks.values()) > MOST_RANK:
        raise _broken("The rank of the adapter is too large.", max(ranks.values()), f"up to {MOST_RANK:,}")
    rank = max(set(ranks.values()), key=list(ranks.values()).count)
    alpha = config.get("lora_alpha")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or alpha not in range(1, MOST_ALPHA + 1):
        valid = f"a whole number from 1 to {MOST_ALPHA:,}"
        raise _broken("The adapter's config has no valid strength.", f"lora_alpha {alpha}", valid)
    dropout = config.get("lora_dropout")
    clean = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "inference_mode": True,
        "r": rank,
        "lora_alpha": int(alpha),
        "lora_dropout": dropout if isinstance(dropout, int | float) and 0 <= dropout < 1 else 0.0,
        "target_modules": sorted(ranks),
        "rank_pattern": {re.escape(name): each for name, each in ranks.items() if each != rank},
        "modules_to_save": saved or None,
        "bias": "none",
        **{name: config.get(name) is True for name in ("fan_in_fan_out", "use_rslora", "use_dora")},
    }
    if config.get("bias") not in (None, "none"):
        raise _broken("The adapter trained the biases of layers, which is not supported.", f"bias {config['bias']}")
    return clean


def _shape_of_layer(module: str, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    """Return the shape of a base model's layer. Files leave out the begin of a name that all layers share."""
    parts = module.split(".")
    for start in range(len(parts)):
        if (shape := shapes.get(f"{'.'.join(parts[start:])}.weight")) and len(shape) == 2:
            return shape
    return None


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())[:8]


def _valid() -> str:
    return f"a folder with {CONFIG} and {WEIGHTS}, as PEFT saves adapters"


def _broken(what: str, given: object = None, valid: str | None = None, hint: str = "") -> StudioError:
    return StudioError("broken-model", what, given=given, valid=valid, hint=hint, field="folder")
